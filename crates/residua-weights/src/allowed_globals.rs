//! The classes and functions that the pickle of a checkpoint may name.
//!
//! Python looks up and calls what a pickle names, so that a file can do what these can, and no more.
//! Residua never looks up or calls any of them; the list is about other tools that open the same
//! file. It is a list of what is allowed and not of what is forbidden, since nobody can list all that
//! runs a program: any module that is installed where the file is opened counts. Three kinds are on
//! it:
//!
//! 1. **Functions and classes by their full names**: what PyTorch, NumPy and Python's own pickling
//!    write for tensors, numbers, containers, dates, paths and settings. PyTorch's own restricted
//!    loader allows about the first half (`torch/_weights_only_unpickler.py`).
//!    `torch.storage._load_from_bytes` is not among them, since it opens another pickle, nor are
//!    `getattr`, `operator` and `functools`, with which other functions can be reached or made.
//! 2. **Classes of modules that models are made of**, for files with whole modules instead of a
//!    `state_dict`. A name counts as that of a class when it has no dot and begins with a capital
//!    letter: the same modules hold functions that load files or fetch them
//!    (`torchvision.models.resnet.load_state_dict_from_url` in older versions), and a name with a dot
//!    reaches whatever such a module imported (`torch.nn.modules.linear` with `torch.os.system`).
//! 3. **Classes of `__main__`**: the program that opens the file, whose author knows them. Where it
//!    has none of this name, nothing happens.
//!
//! The limit of 2 and 3: a module also has the names that it imports, and making a value of a class
//! there runs what its author wrote. Classes whose making alone does harm are therefore excluded by
//! name; in the modules of PyTorch 2.15, torchvision 0.29 and timm 1.0.31 no others were found.

/// Modules and what of them is allowed.
const ALLOWED: &[(&str, &[&str])] = &[
    // Python. Protocols below 3 name its modules as Python 2 did.
    ("builtins", BUILTINS),
    ("__builtin__", BUILTINS),
    (
        "collections",
        &["Counter", "OrderedDict", "defaultdict", "deque"],
    ),
    ("_codecs", &["encode"]),
    ("copyreg", &["_reconstructor"]),
    ("copy_reg", &["_reconstructor"]),
    (
        "datetime",
        &["date", "datetime", "time", "timedelta", "timezone"],
    ),
    ("pathlib", PATHS),
    ("pathlib._local", PATHS),
    ("random", &["Random"]),
    ("typing", &["Any"]),
    // Settings.
    ("argparse", &["Namespace"]),
    ("types", &["SimpleNamespace"]),
    ("addict.addict", &["Dict"]),
    ("box.box", &["Box"]),
    ("detectron2.config.config", &["CfgNode"]),
    ("easydict", &["EasyDict"]),
    ("fvcore.common.config", &["CfgNode"]),
    ("lightning.fabric.utilities.data", &["AttributeDict"]),
    ("lightning_fabric.utilities.data", &["AttributeDict"]),
    ("ml_collections.config_dict.config_dict", &["ConfigDict"]),
    ("mmcv.utils.config", &["ConfigDict"]),
    ("mmengine.config.config", &["ConfigDict"]),
    ("munch", &["Munch"]),
    ("pytorch_lightning.utilities.parsing", &["AttributeDict"]),
    ("yacs.config", &["CfgNode"]),
    // NumPy, whose core was renamed in version 2.
    ("numpy", NUMPY),
    ("numpy.core.multiarray", &["_reconstruct", "scalar"]),
    ("numpy._core.multiarray", &["_reconstruct", "scalar"]),
    ("numpy.core.numeric", &["_frombuffer"]),
    ("numpy._core.numeric", &["_frombuffer"]),
    ("numpy.random", &["__RandomState_ctor"]),
    ("numpy.random._generator", &["Generator"]),
    ("numpy.random._mt19937", &["MT19937"]),
    ("numpy.random._pcg64", &["PCG64", "PCG64DXSM"]),
    ("numpy.random._philox", &["Philox"]),
    (
        "numpy.random._pickle",
        &[
            "__bit_generator_ctor",
            "__generator_ctor",
            "__randomstate_ctor",
        ],
    ),
    ("numpy.random._sfc64", &["SFC64"]),
    (
        "numpy.random.bit_generator",
        &["SeedSequence", "__pyx_unpickle_SeedSequence"],
    ),
    ("numpy.random.mtrand", &["RandomState"]),
    // PyTorch.
    ("torch", TORCH),
    ("torch._C._nn", ACTIVATIONS),
    (
        "torch._tensor",
        &["_rebuild_from_type", "_rebuild_from_type_v2"],
    ),
    (
        "torch._utils",
        &[
            "_rebuild_device_tensor_from_cpu_tensor",
            "_rebuild_device_tensor_from_numpy",
            "_rebuild_meta_tensor_no_storage",
            "_rebuild_nested_tensor",
            "_rebuild_parameter",
            "_rebuild_parameter_with_state",
            "_rebuild_qtensor",
            "_rebuild_sparse_csr_tensor",
            "_rebuild_sparse_tensor",
            "_rebuild_tensor",
            "_rebuild_tensor_v2",
            "_rebuild_tensor_v3",
            "_rebuild_wrapper_subclass",
        ],
    ),
    ("torch.amp.grad_scaler", SCALERS),
    ("torch.cuda.amp.grad_scaler", SCALERS),
    ("torch.nn.backends.thnn", &["_get_thnn_function_backend"]),
    ("torch.nn.functional", ACTIVATIONS),
    ("torch.serialization", &["_get_layout"]),
    (
        "torch.storage",
        &[
            "TypedStorage",
            "UntypedStorage",
            "_TypedStorage",
            "_UntypedStorage",
        ],
    ),
    ("torch.torch_version", &["TorchVersion"]),
    // Functions that whole modules of the two libraries refer to.
    ("timm.layers.activations", ACTIVATIONS),
    ("timm.models.layers.activations", ACTIVATIONS),
    ("torchvision.ops.boxes", &["box_iou"]),
];

/// Types of values. `range` and `str` were `xrange` and `unicode`, and large integers `long`.
const BUILTINS: &[&str] = &[
    "Ellipsis",
    "bool",
    "bytearray",
    "bytes",
    "complex",
    "dict",
    "float",
    "frozenset",
    "int",
    "list",
    "long",
    "object",
    "range",
    "set",
    "slice",
    "str",
    "tuple",
    "unicode",
    "xrange",
];

/// Names of files, which are not opened.
const PATHS: &[&str] = &[
    "Path",
    "PosixPath",
    "PurePath",
    "PurePosixPath",
    "PureWindowsPath",
    "WindowsPath",
];

/// Arrays and the types of numbers.
const NUMPY: &[&str] = &[
    "bool",
    "bool_",
    "bytes_",
    "complex128",
    "complex64",
    "dtype",
    "float16",
    "float32",
    "float64",
    "int16",
    "int32",
    "int64",
    "int8",
    "longlong",
    "ndarray",
    "str_",
    "uint16",
    "uint32",
    "uint64",
    "uint8",
    "ulonglong",
];

/// Shapes, devices, types of numbers, arrangements in memory and kinds of quantisation.
const TORCH: &[&str] = &[
    "Size",
    "bcomplex32",
    "bfloat16",
    "bit",
    "bits16",
    "bits1x8",
    "bits2x4",
    "bits4x2",
    "bits8",
    "bool",
    "cdouble",
    "cfloat",
    "chalf",
    "channels_last",
    "channels_last_3d",
    "complex128",
    "complex32",
    "complex64",
    "contiguous_format",
    "device",
    "double",
    "float",
    "float16",
    "float32",
    "float4_e2m1fn_x2",
    "float64",
    "float8_e4m3fn",
    "float8_e4m3fnuz",
    "float8_e5m2",
    "float8_e5m2fnuz",
    "float8_e8m0fnu",
    "half",
    "int",
    "int1",
    "int16",
    "int2",
    "int3",
    "int32",
    "int4",
    "int5",
    "int6",
    "int64",
    "int7",
    "int8",
    "long",
    "per_channel_affine",
    "per_channel_affine_float_qparams",
    "per_channel_symmetric",
    "per_tensor_affine",
    "per_tensor_symmetric",
    "preserve_format",
    "qint32",
    "qint8",
    "quint2x4",
    "quint4x2",
    "quint8",
    "short",
    "uint1",
    "uint16",
    "uint2",
    "uint3",
    "uint32",
    "uint4",
    "uint5",
    "uint6",
    "uint64",
    "uint7",
    "uint8",
];

/// Functions of a tensor that modules keep as what follows a layer.
const ACTIVATIONS: &[&str] = &[
    "celu",
    "elu",
    "gelu",
    "hard_mish",
    "hard_sigmoid",
    "hard_swish",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "leaky_relu",
    "log_softmax",
    "mish",
    "quick_gelu",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "swish",
    "tanh",
];

/// Of automatic mixed precision, with the state that it keeps for each optimiser.
const SCALERS: &[&str] = &["GradScaler", "OptState", "_refresh_per_optimizer_state"];

/// Modules whose classes are allowed, and those of the modules in them.
const MODULES_OF_CLASSES: &[&str] = &[
    "__main__",
    "numpy.dtypes",
    "omegaconf.base",
    "omegaconf.dictconfig",
    "omegaconf.listconfig",
    "omegaconf.nodes",
    "timm.layers",
    "timm.models",
    "torch.ao.nn",
    "torch.ao.quantization.fake_quantize",
    "torch.ao.quantization.observer",
    "torch.ao.quantization.qconfig",
    "torch.ao.quantization.stubs",
    "torch.nn.intrinsic",
    "torch.nn.modules",
    "torch.nn.parallel",
    "torch.nn.parameter",
    "torch.nn.qat",
    "torch.nn.quantizable",
    "torch.nn.quantized",
    "torch.nn.utils",
    "torch.optim",
    "torch.quantization.fake_quantize",
    "torch.quantization.observer",
    "torch.quantization.qconfig",
    "torch.quantization.stubs",
    "torchvision.models",
    "torchvision.ops",
    "torchvision.transforms",
];

/// Modules whose classes of tensors and storages are allowed, of which there is one for each type of
/// number.
const MODULES_OF_TENSORS: &[&str] = &["torch", "torch.cuda", "torch.cuda.sparse", "torch.sparse"];

/// Classes that run or load a program, compile one from a graph, or write or delete files, only by
/// being made. Without the underscores before their names.
const HARMFUL_WHEN_MADE: &[&str] = &[
    "CDLL",
    "CodeOnlyModule",
    "DualGraphModule",
    "FeatureGraphNet",
    "FileIO",
    "GraphExtractNet",
    "GraphModule",
    "OleDLL",
    "Popen",
    "PyDLL",
    "TarFile",
    "TemporaryDirectory",
    "WinDLL",
    "ZipFile",
];

/// Whether the pickle of a checkpoint may name this.
pub(crate) fn is_allowed(module: &str, name: &str) -> bool {
    let mut listed = ALLOWED.iter().filter(|(listed, _)| *listed == module);
    if listed.any(|(_, names)| names.contains(&name)) {
        return true;
    }
    if !is_name_of_class(name) || !module.bytes().all(is_of_word_or_dot) {
        return false;
    }
    let is_tensor = name.ends_with("Tensor") || name.ends_with("Storage");
    (is_tensor && MODULES_OF_TENSORS.contains(&module))
        || MODULES_OF_CLASSES.iter().any(|parent| {
            let rest = module.strip_prefix(parent);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
}

/// Whether Python's custom (PEP 8) makes this the name of a class that is not known to do harm.
fn is_name_of_class(name: &str) -> bool {
    let bare = name.trim_start_matches('_');
    bare.starts_with(|letter: char| letter.is_ascii_uppercase())
        && bare
            .bytes()
            .all(|byte| is_of_word_or_dot(byte) && byte != b'.')
        && !HARMFUL_WHEN_MADE.contains(&bare)
}

fn is_of_word_or_dot(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_checkpoints_need_is_allowed() {
        for (module, name) in [
            ("torch._utils", "_rebuild_tensor_v2"),
            ("torch", "FloatStorage"),
            ("torch", "BFloat16Storage"),
            ("torch.cuda", "HalfTensor"),
            ("torch.storage", "UntypedStorage"),
            ("collections", "OrderedDict"),
            ("__builtin__", "set"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("argparse", "Namespace"),
            ("omegaconf.dictconfig", "DictConfig"),
            ("torch.nn.modules.conv", "Conv2d"),
            ("torch.nn.parallel.data_parallel", "DataParallel"),
            ("torchvision.models.resnet", "ResNet"),
            ("timm.models.resnet", "Bottleneck"),
            ("timm.models._builder", "PretrainedCfg"),
            ("__main__", "Config"),
            ("__main__", "_Options"),
        ] {
            assert!(is_allowed(module, name), "{module}.{name}");
        }
    }

    #[test]
    fn what_reaches_the_system_is_not() {
        for (module, name) in [
            ("posix", "system"),
            ("nt", "system"),
            ("os", "system"),
            ("builtins", "eval"),
            ("builtins", "getattr"),
            ("__builtin__", "exec"),
            ("operator", "attrgetter"),
            ("functools", "partial"),
            ("importlib", "import_module"),
            ("torch", "load"),
            ("torch.hub", "load"),
            ("torch.storage", "_load_from_bytes"),
            ("torch.utils.cpp_extension", "load"),
            ("torch.fx.graph_module", "reduce_graph_module"),
            ("torchvision.models.resnet", "load_state_dict_from_url"),
            ("torchvision.models.feature_extraction", "_CodeOnlyModule"),
            ("timm.models._helpers", "load_state_dict"),
            ("timm.models._hub", "TemporaryDirectory"),
            // Names with dots reach what a module imported.
            ("torch.nn.modules.linear", "torch.os.system"),
            ("torch.nn.modules.linear", "Linear.__init__"),
            ("__main__", "Path.unlink"),
            ("__main__", "main"),
            ("__main__", "Popen"),
            // Others that only begin like an allowed one.
            ("torch.nn.modules_of_others", "Linear"),
            ("__main__x", "Config"),
            ("torch.nn.modules.\r", "Linear"),
            ("numpy", "load"),
            ("collections", "OrderedDict\r"),
            ("unknown.package", "Config"),
            ("", ""),
        ] {
            assert!(!is_allowed(module, name), "{module}.{name}");
        }
    }

    #[test]
    fn lists_are_in_order_and_short_enough_to_be_kept() {
        let names = ALLOWED.iter().map(|(_, names)| *names);
        let all = names.chain([MODULES_OF_CLASSES, MODULES_OF_TENSORS, HARMFUL_WHEN_MADE]);
        for names in all {
            assert!(names.is_sorted(), "{names:?}");
            assert!(names.iter().all(|name| name.len() < 100));
        }
    }
}
