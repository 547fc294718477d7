use std::fs::OpenOptions;
use std::io::Write;

use proptest::prelude::*;
use residua_core::run::{Event, RunFolder};

use super::*;
use crate::fixture;
use crate::tail::EventTail;

fn timeline(events: &[Event]) -> Timeline {
    let mut timeline = Timeline::default();
    events.iter().for_each(|event| timeline.apply(event));
    timeline
}

fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
}

#[test]
fn a_run_in_its_third_epoch() {
    let mut events = fixture::epochs(2);
    events.extend(fixture::steps(3, 98));
    let timeline = timeline(&events);
    assert_eq!(timeline.status(true), RunStatus::Training);
    assert_eq!(timeline.status(false), RunStatus::Stopped);
    assert_eq!(timeline.finished_epochs(), 2);
    assert_eq!(timeline.current_epoch(), 3);
    assert_eq!(timeline.step(), 880);
    assert_eq!(timeline.current_step().unwrap().step, 880);
    assert_eq!(timeline.quarantined().len(), 1);
    let best = timeline.best_epoch().unwrap();
    assert_eq!((best.epoch, best.validation_accuracy), (2, 0.4499));
    close(timeline.progress(), 880.0 / 3910.0);
    // Two epochs with their validations, and 98 of 391 steps of the third at its speed so far.
    let speed = timeline.current_step().unwrap().images_per_second;
    let images = 50_000.0 * 98.0 / 391.0;
    let elapsed = 31.8 + 47.1 + 2.0 * 2.6 + images / speed;
    close(timeline.elapsed_seconds(), elapsed);
    let remaining = (500_000.0 - 100_000.0 - images) / speed + 8.0 * 2.6;
    close(timeline.remaining_seconds().unwrap(), remaining);
    let time = timeline.time().unwrap();
    let began = timeline.start().unwrap().time.unwrap();
    close((time - began).as_secs_f64(), elapsed);
}

#[test]
fn nothing_is_known_before_the_first_event() {
    let timeline = Timeline::default();
    assert_eq!(timeline.status(true), RunStatus::Waiting);
    assert_eq!(timeline.progress(), 0.0);
    assert_eq!(timeline.remaining_seconds(), None);
    assert_eq!(timeline.best_score(), None);
}

#[test]
fn speeds_are_those_between_recorded_steps() {
    let mut events = vec![fixture::start()];
    // 128 images a step; 10 steps at 1000 images a second, then 10 steps at 500.
    let batch = 50_000.0 / 391.0;
    for (step, seconds) in [(10, 10.0 * batch / 1000.0), (20, 30.0 * batch / 1000.0)] {
        events.push(Event::Step {
            step,
            epoch: 1,
            loss: 1.0,
            accuracy: 0.5,
            learning_rate: 0.1,
            images_per_second: step as f64 * batch / seconds,
        });
    }
    let speeds = timeline(&events).speeds();
    close(speeds[0], 1000.0);
    close(speeds[1], 500.0);
}

#[test]
fn a_killed_run_that_was_resumed_is_as_if_it_had_not_been_killed() {
    let mut straight = fixture::epochs(2);
    straight.extend(fixture::steps(3, 60));

    let mut killed = fixture::epochs(1);
    killed.extend(fixture::steps(2, 391));
    killed.extend(fixture::epoch_end(2));
    killed.extend(fixture::steps(3, 120));
    // The checkpoint was in the middle of the second epoch, so its end is done again.
    killed.push(fixture::resume(400, 1, "2026-11-26T08:00:00Z"));
    let later = |event: &&Event| matches!(event, Event::Step { step, .. } if *step > 400);
    killed.extend(fixture::steps(2, 391).iter().filter(later).cloned());
    killed.extend(fixture::epoch_end(2));
    killed.extend(fixture::steps(3, 60));

    let (straight, killed) = (timeline(&straight), timeline(&killed));
    assert_eq!(killed.steps(), straight.steps());
    assert_eq!(killed.epochs(), straight.epochs());
    assert_eq!(killed.step(), straight.step());
    assert_eq!(killed.resumes().len(), 1);
    assert_eq!(killed.resumes()[0].step, 400);
    close(killed.elapsed_seconds(), straight.elapsed_seconds());
    // The time of day goes on from the resume.
    let time = killed.time().unwrap().to_string();
    assert!(time.starts_with("2026-11-26T08:0"), "{time}");
    assert!(
        killed
            .log()
            .iter()
            .any(|line| line.text == "resumed after step 400")
    );
}

#[test]
fn failed_then_resumed() {
    let mut events = fixture::epochs(1);
    events.push(Event::Failed {
        step: 395,
        time: "2026-11-25T22:57:00Z".to_owned(),
        reason: "the loss is NaN at step 396".to_owned(),
    });
    let failed = timeline(&events);
    assert_eq!(failed.status(true), RunStatus::Failed);
    assert!(failed.status(true).is_over());
    assert_eq!(failed.step(), 395);
    let last = failed.log().last().unwrap();
    assert_eq!(last.level, LogLevel::Error);
    assert_eq!(last.text, "failed: the loss is NaN at step 396");
    events.push(fixture::resume(391, 1, "2026-11-25T22:58:00Z"));
    assert_eq!(timeline(&events).status(true), RunStatus::Training);
}

#[test]
fn interrupted_then_resumed_then_finished() {
    let mut events = fixture::epochs(1);
    events.push(Event::Interrupted {
        step: 395,
        time: "2026-11-25T22:57:00Z".to_owned(),
    });
    assert_eq!(timeline(&events).status(true), RunStatus::Interrupted);
    assert_eq!(timeline(&events).step(), 395);
    events.push(fixture::resume(395, 1, "2026-11-25T22:58:00Z"));
    let resumed = timeline(&events);
    assert_eq!(resumed.status(true), RunStatus::Training);
    assert_eq!(resumed.status(false), RunStatus::Stopped);
    assert_eq!(resumed.step(), 395);
    events.push(fixture::end());
    let finished = timeline(&events);
    assert_eq!(finished.status(false), RunStatus::Finished);
    assert_eq!(finished.best_score(), Some(0.8674));
    assert_eq!(finished.elapsed_seconds(), 398.987);
    assert_eq!(finished.remaining_seconds(), Some(0.0));
    assert_eq!(finished.time().unwrap().to_string(), "2026-11-25T23:02:25Z");
}

#[test]
fn the_log_tells_what_happened() {
    let mut events = fixture::epochs(2);
    events.push(Event::Checkpoint {
        step: 800,
        name: "last".to_owned(),
    });
    events.push(fixture::end());
    let timeline = timeline(&events);
    let lines: Vec<&str> = timeline.log().iter().map(|line| &*line.text).collect();
    assert_eq!(
        lines,
        [
            "training resnet20 on cifar10:/data: 10 epochs, 3,910 steps",
            "left out /data/train/cat/0417.png: unexpected end of file",
            "epoch 1: validation loss 1.7110, accuracy 41.96 %, the best so far",
            "epoch 2: validation loss 2.0556, accuracy 44.99 %, the best so far",
            "checkpoint 'last' after step 800",
            "finished in 6:39; best accuracy 86.74 %",
        ]
    );
}

/// All that the run has, read at once.
fn at_once(run: &RunFolder) -> Timeline {
    timeline(&EventTail::new(run).poll().unwrap().events)
}

/// What a run writes that does so many steps, is killed, goes on from up to so many steps before,
/// and so on.
fn histories() -> impl Strategy<Value = Vec<Event>> {
    const PER_EPOCH: u64 = 391;
    let session = (0_u64..600, 0_u64..500);
    prop::collection::vec(session, 1..4).prop_map(|sessions| {
        let mut events = vec![fixture::start()];
        let mut step = 0;
        for (count, back) in sessions {
            let reached = step + count;
            for epoch in step / PER_EPOCH + 1..=reached / PER_EPOCH + 1 {
                let first = (epoch - 1) * PER_EPOCH;
                let steps = fixture::steps(epoch, (reached - first).min(PER_EPOCH));
                events.extend(steps.into_iter().filter(
                    |event| matches!(event, Event::Step { step: done, .. } if *done > step),
                ));
                if epoch * PER_EPOCH <= reached {
                    events.extend(fixture::epoch_end(epoch));
                }
            }
            step = reached.saturating_sub(back);
            let time = "2026-11-26T08:00:00Z";
            events.push(fixture::resume(step, step / PER_EPOCH, time));
        }
        events
    })
}

/// Appends to the run's events.
fn append(run: &RunFolder, text: &str) {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(run.events_path())
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn pieces_of_a_file_give_what_the_whole_gives(
        events in histories(),
        sizes in prop::collection::vec(1_usize..3000, 4..20),
    ) {
        let (_folder, run) = fixture::empty_run();
        let text = fixture::text(&events);
        let mut tail = EventTail::new(&run);
        let mut pieces = Timeline::default();
        let mut written = 0;
        for size in sizes.iter().cycle() {
            let before = written;
            written = (written + size).min(text.len());
            append(&run, &text[before..written]);
            let news = tail.poll().unwrap();
            prop_assert!(!news.restarted);
            news.events.iter().for_each(|event| pieces.apply(event));
            if written == text.len() {
                break;
            }
        }
        prop_assert_eq!(&pieces, &at_once(&run));
        // What counts is what the run folder says counts.
        let counted = timeline(&run.events().unwrap());
        prop_assert_eq!(pieces.epochs(), counted.epochs());
        prop_assert_eq!(pieces.steps(), counted.steps());
    }

    #[test]
    fn a_file_cut_anywhere_is_read_up_to_its_last_whole_line(cut in 0_usize..12_000) {
        let (_folder, run) = fixture::empty_run();
        let text = fixture::text(&fixture::epochs(1));
        let cut = &text[..cut.min(text.len())];
        std::fs::write(run.events_path(), cut).unwrap();
        let news = EventTail::new(&run).poll().unwrap();
        prop_assert_eq!(news.events.len(), cut.matches('\n').count());
        prop_assert_eq!(&news.events, &run.events().unwrap());
    }
}

#[test]
fn one_byte_at_a_time() {
    let (_folder, run) = fixture::empty_run();
    let mut events = fixture::epochs(1);
    events.push(fixture::resume(200, 0, "2026-11-26T08:00:00Z"));
    let text = fixture::text(&events);
    let mut tail = EventTail::new(&run);
    let mut pieces = Timeline::default();
    for at in 0..text.len() {
        append(&run, &text[at..=at]);
        let news = tail.poll().unwrap();
        news.events.iter().for_each(|event| pieces.apply(event));
    }
    assert_eq!(pieces, at_once(&run));
    assert_eq!(pieces.steps().len(), 20);
}
