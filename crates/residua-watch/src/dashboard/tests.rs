use std::fs;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use residua_core::run::Event;
use residua_core::task::Task;

use super::*;
use crate::fixture;
use crate::timeline::Timeline;

fn timeline(events: &[Event]) -> Timeline {
    let mut timeline = Timeline::default();
    events.iter().for_each(|event| timeline.apply(event));
    timeline
}

/// In the middle of the sixth epoch.
fn going_on() -> Vec<Event> {
    let mut events = fixture::epochs(5);
    events.extend(fixture::steps(6, 250));
    events
}

fn view(status: RunStatus) -> View {
    View {
        name: "2026-11-25-resnet20-1".to_owned(),
        status,
        since_event: Duration::from_secs(1),
        zone: TimeZone::UTC,
        scroll: 0,
        keys: Keys::Leave,
    }
}

fn backend(width: u16, height: u16, timeline: &Timeline, view: &View) -> TestBackend {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, timeline, view)).unwrap();
    terminal.backend().clone()
}

fn picture(width: u16, height: u16, timeline: &Timeline, view: &View) -> String {
    backend(width, height, timeline, view).to_string()
}

#[test]
fn a_terminal_of_80_by_24() {
    let picture = picture(80, 24, &timeline(&going_on()), &view(RunStatus::Training));
    insta::assert_snapshot!(picture);
}

#[test]
fn a_terminal_of_120_by_40_and_a_finished_run() {
    let mut events = fixture::epochs(10);
    events.push(fixture::end());
    let picture = picture(120, 40, &timeline(&events), &view(RunStatus::Finished));
    insta::assert_snapshot!(picture);
}

#[test]
fn a_tiny_terminal() {
    let picture = picture(20, 6, &timeline(&going_on()), &view(RunStatus::Training));
    insta::assert_snapshot!(picture);
}

#[test]
fn a_terminal_in_between_and_a_process_that_stops() {
    let view = View {
        keys: Keys::Stopping,
        scroll: 2,
        ..view(RunStatus::Training)
    };
    insta::assert_snapshot!(picture(60, 18, &timeline(&going_on()), &view));
}

#[test]
fn the_first_epoch() {
    let mut events = vec![fixture::start()];
    events.extend(fixture::steps(1, 200));
    let picture = picture(80, 24, &timeline(&events), &view(RunStatus::Training));
    insta::assert_snapshot!(picture);
}

#[test]
fn nothing_yet() {
    let picture = picture(80, 24, &Timeline::default(), &view(RunStatus::Waiting));
    insta::assert_snapshot!(picture);
}

#[test]
fn many_classes_show_the_worst() {
    let mut events = vec![fixture::start()];
    if let Event::Start { classes, .. } = &mut events[0] {
        *classes = (0..200)
            .map(|n| format!("class with a long name {n}"))
            .collect();
        classes[7] = "\u{1b}[2J狼と香辛料の長い名前".to_owned();
    }
    events.extend(fixture::steps(1, 100));
    let mut end = fixture::epoch_end(1);
    if let Event::Epoch {
        class_accuracies, ..
    } = &mut end[0]
    {
        let accuracy = |n: usize| (n != 3).then_some(((n * 37 + 11) % 200) as f64 / 200.0);
        *class_accuracies = (0..200).map(accuracy).collect();
        class_accuracies[7] = Some(0.0);
    }
    events.extend(end);
    let picture = picture(100, 30, &timeline(&events), &view(RunStatus::Stopped));
    insta::assert_snapshot!(picture);
    assert!(!picture.contains('\u{1b}'));
}

#[test]
fn images_of_any_number_of_classes_have_another_figure() {
    let mut events = fixture::epochs(3);
    for event in &mut events {
        match event {
            Event::Start { task, .. } => *task = Task::MultiLabel,
            Event::Epoch {
                epoch,
                class_accuracies,
                validation_roc_auc,
                class_roc_aucs,
                ..
            } => {
                class_accuracies.clear();
                *validation_roc_auc = Some(0.7 + 0.05 * *epoch as f64);
                *class_roc_aucs = vec![Some(0.91), None, Some(0.55)];
            }
            _ => {}
        }
    }
    let timeline = timeline(&events);
    assert_eq!(timeline.best_score(), Some(0.85));
    let picture = picture(100, 30, &timeline, &view(RunStatus::Stopped));
    insta::assert_snapshot!(picture);
}

#[test]
fn the_log_scrolls_and_keys_leave() {
    let (_folder, run) = fixture::empty_run();
    fs::write(run.events_path(), fixture::text(&going_on())).unwrap();
    let mut watcher = Watcher::new(&run, Keys::Leave);
    watcher.look().unwrap();
    assert_eq!(watcher.view().name, "run");
    let lines = watcher.timeline().log().len();
    let press = |watcher: &mut Watcher, code| react(watcher, KeyEvent::from(code));
    assert_eq!(press(&mut watcher, KeyCode::Down), Command::Redraw);
    assert_eq!(watcher.view().scroll, 0);
    for _ in 0..3 {
        press(&mut watcher, KeyCode::PageUp);
    }
    assert_eq!(watcher.view().scroll, lines - 1);
    assert_eq!(press(&mut watcher, KeyCode::Char('q')), Command::Leave);
    assert_eq!(press(&mut watcher, KeyCode::Esc), Command::Leave);
    assert_eq!(press(&mut watcher, KeyCode::Char('c')), Command::Nothing);
    let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(react(&mut watcher, control_c), Command::Leave);
}

#[test]
fn in_training_only_control_c_means_something_and_twice_more() {
    let (_folder, run) = fixture::empty_run();
    let mut watcher = Watcher::new(&run, Keys::Stop);
    let quit = KeyEvent::from(KeyCode::Char('q'));
    assert_eq!(react(&mut watcher, quit), Command::Nothing);
    let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(react(&mut watcher, control_c), Command::Interrupt);
    assert!(!watcher.interrupted());
    assert_eq!(react(&mut watcher, control_c), Command::Interrupt);
    assert!(watcher.interrupted());
}

#[test]
fn a_killed_run_is_stopped_once_it_is_quiet() {
    let (_folder, run) = fixture::empty_run();
    let mut watcher = Watcher::new(&run, Keys::Leave);
    watcher.look().unwrap();
    assert_eq!(watcher.view().status, RunStatus::Waiting);
    let mut log = run.append_events().unwrap();
    for event in going_on() {
        log.record(&event).unwrap();
    }
    watcher.look().unwrap();
    assert_eq!(watcher.view().status, RunStatus::Training);
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(3600);
    let age = || {
        let file = fs::File::options().append(true).open(run.events_path());
        file.unwrap().set_modified(long_ago).unwrap();
    };
    age();
    watcher.look().unwrap();
    assert_eq!(watcher.view().status, RunStatus::Training);
    drop(log);
    // Whoever starts a program meanwhile shares the lock with it for a moment (other tests start
    // cargo), so the watcher asks again.
    let mut later = Watcher::new(&run, Keys::Leave);
    let patience = Instant::now() + Duration::from_secs(20);
    later.look().unwrap();
    while later.view().status == RunStatus::Training && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(100));
        later.look().unwrap();
    }
    assert_eq!(later.view().status, RunStatus::Stopped);
}

#[test]
fn the_largest_numbers_are_drawn_in_time() {
    for values in [
        [0.0, f64::MAX, 0.0],
        [f64::MIN, f64::MAX, 0.0],
        [f64::MAX; 3],
    ] {
        let mut events = fixture::epochs(3);
        let figures = events.iter_mut().filter_map(|event| match event {
            Event::Epoch {
                train_loss,
                validation_accuracy,
                ..
            } => Some([train_loss, validation_accuracy]),
            _ => None,
        });
        for (figures, value) in figures.zip(values) {
            figures.into_iter().for_each(|figure| *figure = value);
        }
        backend(120, 40, &timeline(&events), &view(RunStatus::Training));
    }
}

/// Events that no run would write, with extreme values.
fn wild_events() -> impl Strategy<Value = Vec<Event>> {
    let number = prop_oneof![0_u64..50, Just(u64::MAX), any::<u64>()].boxed();
    let value = prop_oneof![0.0..3.0, Just(0.0), Just(-1.0), any::<f64>()].boxed();
    let event = (
        0_u8..6,
        number.clone(),
        number,
        prop::array::uniform4(value),
    );
    prop::collection::vec(event, 0..40).prop_map(|events| {
        let event = |(kind, first, second, [a, b, c, d]): (u8, u64, u64, [f64; 4])| match kind {
            0 => {
                let mut start = fixture::start();
                if let Event::Start { steps, epochs, .. } = &mut start {
                    (*steps, *epochs) = (first, second);
                }
                start
            }
            1 => fixture::resume(first, second, "not a time"),
            2 => Event::Epoch {
                step: first,
                epoch: second,
                train_loss: a,
                train_accuracy: b,
                validation_loss: c,
                validation_accuracy: d,
                learning_rate: a,
                train_seconds: b,
                waiting_seconds: a,
                validation_seconds: c,
                images_per_second: d,
                class_accuracies: vec![Some(a), None, Some(d)],
                validation_roc_auc: (first % 2 == 0).then_some(b),
                class_roc_aucs: vec![None, Some(c)],
            },
            _ => Event::Step {
                step: first,
                epoch: second,
                loss: a,
                accuracy: b,
                learning_rate: c,
                images_per_second: d,
            },
        };
        events.into_iter().map(event).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_size_and_no_events_make_it_panic(
        events in wild_events(),
        (width, height) in (0_u16..140, 0_u16..50),
        scroll in 0_usize..50,
    ) {
        let view = View { scroll, ..view(RunStatus::Training) };
        backend(width, height, &timeline(&events), &view);
        backend(width, height, &timeline(&going_on()), &view);
    }
}
