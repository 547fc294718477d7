//! Checkpoints that name what no weights need are refused in every form; those of training are read.

use std::fs;
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};

use residua_weights::{TensorFile, WeightsError};
use tempfile::TempDir;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// The beginnings of the pickles of a legacy file, each of which announces protocol 2.
const PICKLE: &[u8] = b"\x80\x02";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// Reads a file with these bytes.
fn read(bytes: &[u8]) -> Result<TensorFile, WeightsError> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model.pth");
    fs::write(&path, bytes).unwrap();
    TensorFile::read(&path)
}

/// What a file with these bytes is refused for.
fn called(bytes: &[u8]) -> String {
    match read(bytes) {
        Err(WeightsError::ForbiddenCall { called, .. }) => called,
        other => panic!("{other:?}"),
    }
}

/// The entries of an archive.
fn entries(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).unwrap();
    let mut entries = Vec::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        entries.push((entry.name().unwrap().into_owned(), content));
    }
    entries
}

fn archive(entries: &[(String, Vec<u8>)], method: CompressionMethod) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    for (name, content) in entries {
        writer.start_file(name.as_str(), options).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// Instructions that put a value on the stack and take it away again, and what they name.
fn named_and_thrown_away() -> Vec<(Vec<u8>, &'static str)> {
    let called = |global: &[u8]| [global, b"(X\x04\0\0\0truetR0"].concat();
    vec![
        (called(b"cposix\nsystem\n"), "posix.system"),
        (called(b"cnt\nsystem\n"), "nt.system"),
        (called(b"cos\nsystem\n"), "os.system"),
        (called(b"csubprocess\nPopen\n"), "subprocess.Popen"),
        (called(b"cbuiltins\neval\n"), "builtins.eval"),
        (called(b"c__builtin__\nexec\n"), "__builtin__.exec"),
        (called(b"cbuiltins\ngetattr\n"), "builtins.getattr"),
        (called(b"ctimeit\ntimeit\n"), "timeit.timeit"),
        (
            called(b"coperator\nmethodcaller\n"),
            "operator.methodcaller",
        ),
        (called(b"ctorch.hub\nload\n"), "torch.hub.load"),
        (
            called(b"ctorch.nn.modules.linear\ntorch.os.system\n"),
            "torch.nn.modules.linear.torch.os.system",
        ),
        // Named without a call.
        (b"cposix\nsystem\n0".to_vec(), "posix.system"),
        // INST calls by itself.
        (
            b"(X\x04\0\0\0trueiposix\nsystem\n0".to_vec(),
            "posix.system",
        ),
        // STACK_GLOBAL, with text, and with text from the memo in both ways to write it there.
        (called(b"\x8c\x05posix\x8c\x06system\x93"), "posix.system"),
        (called(b"Vposix\nX\x06\0\0\0system\x93"), "posix.system"),
        (
            called(b"\x8c\x06systemq\xf00\x8c\x05posixr\xf1\0\0\x000j\xf1\0\0\0h\xf0\x93"),
            "posix.system",
        ),
        (
            called(b"\x8c\x05posix\x940\x8c\x06systemp240\n0h\0g240\n\x93"),
            "posix.system",
        ),
    ]
}

/// Changes the pickles of a file: `prepended` comes behind the two bytes that announce a protocol.
fn changed(pickle: &[u8], begin: usize, prepended: &[u8]) -> Vec<u8> {
    let begin = begin + PICKLE.len();
    [&pickle[..begin], prepended, &pickle[begin..]].concat()
}

#[test]
fn what_an_archive_names_and_throws_away_is_refused() {
    let original = fs::read(fixture("formats/zip.pth")).unwrap();
    let tensors = read(&original).unwrap().tensors;
    let original = entries(&original);
    let with = |method: CompressionMethod, prepended: &[u8]| {
        let mut entries = original.clone();
        let mut pickles = entries.iter_mut();
        let (_, pickle) = { pickles.find(|(name, _)| name.ends_with("/data.pkl")) }.unwrap();
        *pickle = changed(pickle, 0, prepended);
        archive(&entries, method)
    };
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        // What is allowed may be thrown away.
        let harmless = read(&with(method, b"ccollections\nOrderedDict\n)R0"));
        assert_eq!(harmless.unwrap().tensors, tensors);
        for (prepended, expected) in named_and_thrown_away() {
            assert_eq!(called(&with(method, &prepended)), expected);
        }
    }
}

#[test]
fn every_pickle_of_an_archive_counts() {
    let original = fs::read(fixture("formats/zip.pth")).unwrap();
    let mut entries = entries(&original);
    entries.push(("other/DATA.PKL".to_owned(), b"cos\nsystem\n.".to_vec()));
    let stored = archive(&entries, CompressionMethod::Stored);
    assert_eq!(called(&stored), "os.system");
    // Whatever its sum says: that of its bytes is made wrong, in both headers.
    let content = b"cos\nsystem\n.";
    let sum = crc32(content).to_le_bytes();
    let mut wrong = stored.clone();
    for position in 0..wrong.len() - 4 {
        if wrong[position..].starts_with(&sum) {
            wrong[position] ^= 1;
        }
    }
    assert_ne!(wrong, stored);
    assert_eq!(called(&wrong), "os.system");
}

#[test]
fn an_archive_with_a_second_directory_is_refused() {
    let original = fs::read(fixture("formats/zip.pth")).unwrap();
    // PyTorch's reader goes where the record of 64-bit archives says, the one used here does not.
    let record = original
        .windows(4)
        .rposition(|bytes| bytes == b"PK\x06\x06");
    let mut other = original.clone();
    other[record.unwrap() + 48] ^= 1;
    let commented = [&original[..], b"comment"].concat();
    let twice = [&original[..], &original[..]].concat();
    for changed in [other, commented, twice] {
        let message = read(&changed).unwrap_err().to_string();
        assert!(message.contains("where the directory"), "{message}");
    }
}

/// The checksum of zip archives (APPNOTE.TXT 4.4.7).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ if sum & 1 == 1 { 0xedb8_8320 } else { 0 }
        })
    })
}

#[test]
fn what_a_legacy_file_names_and_throws_away_is_refused() {
    let original = fs::read(fixture("formats/legacy.pth")).unwrap();
    let tensors = read(&original).unwrap().tensors;
    // Behind the end of one pickle, the next begins.
    let ends = original.windows(3).enumerate();
    let begins = ends.filter(|(_, bytes)| *bytes == [b".", PICKLE].concat());
    let begins: Vec<usize> = [0]
        .into_iter()
        .chain(begins.map(|(end, _)| end + 1))
        .collect();
    assert_eq!(begins.len(), 5);
    for begin in begins {
        let harmless = read(&changed(&original, begin, b"ccollections\nOrderedDict\n0"));
        assert_eq!(harmless.unwrap().tensors, tensors);
        for (prepended, expected) in named_and_thrown_away() {
            assert_eq!(called(&changed(&original, begin, &prepended)), expected);
        }
    }
}

#[test]
fn pickles_that_others_would_find_elsewhere_are_refused() {
    let original = fs::read(fixture("formats/legacy.pth")).unwrap();
    // A frame around all that is read here, behind which Python would find its second pickle.
    let length = (original.len() as u64 - 2).to_le_bytes();
    let mut framed = changed(&original, 0, &[b"\x95", &length[..]].concat());
    framed.extend(b"\x80\x02cos\nsystem\n(X\x04\0\0\0truetR.");
    let message = read(&framed).unwrap_err().to_string();
    assert!(message.contains("before its frame"), "{message}");
    // A first pickle that is not known for that of a legacy file, with others behind it.
    let long = [b"X\x50\0\0\0", &[b'x'; 80][..], b"0"].concat();
    let mut hidden = changed(&original, 0, &long);
    let second = 15 + long.len();
    hidden = changed(&hidden, second, b"cos\nsystem\n0");
    assert_eq!(called(&hidden), "os.system");
}

#[test]
fn what_a_pickle_alone_names_is_refused() {
    let dictionary = |value: &[u8]| [PICKLE, b"}X\x01\0\0\0a", value, b"s."].concat();
    assert!(read(&dictionary(b"K\x03")).unwrap().tensors.is_empty());
    for (prepended, expected) in named_and_thrown_away() {
        assert_eq!(
            called(&dictionary(&[&prepended, &b"N"[..]].concat())),
            expected
        );
    }
    // Without the announcement of a protocol.
    assert_eq!(called(b"cposix\nsystem\n(Vtrue\ntR."), "posix.system");
    assert_eq!(
        called(b"}(Va\ncposix\nsystem\n(Vtrue\ntRu."),
        "posix.system"
    );
}

#[test]
fn the_error_says_what_is_named_and_how_to_mend_it() {
    let error = read(b"cposix\nsystem\n(Vtrue\ntR.").unwrap_err();
    let message = error.to_string();
    for part in [
        "posix.system",
        "never executes",
        "torch.save(model.state_dict()",
    ] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn what_training_leaves_behind_is_read() {
    for (name, prefix) in [
        ("whole_module.pth", ""),
        ("training_state.pth", "state_dict."),
        ("training_state_legacy.pth", "state_dict."),
    ] {
        let file = TensorFile::read(&fixture("pytorch").join(name)).unwrap();
        let weight = format!("{prefix}0.weight");
        let weight = file.by_name()[weight.as_str()];
        assert_eq!(weight.shape, [2, 1, 1, 1], "{name}");
    }
}

#[test]
fn published_weights_are_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/weights");
    let Ok(files) = fs::read_dir(&folder) else {
        println!("skipped: there is no folder {}", folder.display());
        return;
    };
    for file in files {
        let path = file.unwrap().path();
        let file = TensorFile::read(&path).unwrap();
        assert!(!file.tensors.is_empty(), "{}", path.display());
    }
}
