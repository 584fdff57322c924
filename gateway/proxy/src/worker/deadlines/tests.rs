use super::*;

#[test]
fn a_deadline_fires_once_and_not_before_its_time() {
    let clock = Clock::stopped();
    let table = Deadlines::new(clock.clone(), Arc::default());
    let deadline = table.register();
    let mut context = Context::from_waker(Waker::noop());
    let mut has_passed_after = |millis: u64| {
        clock.advance(Duration::from_millis(millis));
        table.fire(table.now());
        deadline.has_passed(&mut context)
    };
    deadline.set(Duration::from_millis(500));
    assert!(!has_passed_after(499));
    assert!(has_passed_after(1));
    deadline.set(Duration::from_secs(9));
    assert!(!has_passed_after(0));
    assert!(!has_passed_after(8_000));
    // What began earlier is due earlier.
    deadline.set_from(deadline.now() - Duration::from_secs(1), Duration::from_secs(3));
    assert!(!has_passed_after(1_999));
    assert!(has_passed_after(1));
}

/// Counts how often a task is woken.
struct Count(AtomicUsize);

impl std::task::Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn what_looks_is_woken_once_a_second_and_keeps_its_age() {
    // Whether it looks, how often it is woken in ten seconds of silence, and how old it is then.
    for (looks, expected) in [(false, 1), (true, 10)] {
        let clock = Clock::stopped();
        let table = Deadlines::new(clock.clone(), Arc::default());
        let deadline = table.register();
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = count.clone().into();
        let mut context = Context::from_waker(&waker);
        deadline.set_following(table.now(), Duration::from_secs(60));
        let mut quiet = 0;
        for _ in 0..100 {
            clock.advance(TICK);
            table.fire(table.now());
            if deadline.wait(&mut context) == Wait::Quiet {
                quiet += 1;
                deadline.holds_for_reader(1024);
                deadline.look(looks);
            }
        }
        assert_eq!(
            (count.0.load(Ordering::SeqCst), quiet),
            (expected, expected),
            "{looks}"
        );
        assert_eq!(
            table.cut_stalled(Duration::from_secs(10), 1),
            1,
            "it has moved nothing"
        );
    }
}

#[test]
fn a_publication_wakes_what_waits_for_one() {
    let count = || Arc::new(Count(AtomicUsize::new(0)));
    let woken = |count: &Count| count.0.load(Ordering::SeqCst);
    let table = Deadlines::new(Clock::stopped(), Arc::default());
    let (idle, busy) = (table.register(), table.register());
    let (of_idle, of_busy) = (count(), count());
    let now = table.now();
    idle.set(TICK);
    busy.set_following(now, TICK);
    let wakers = [of_idle.clone().into(), of_busy.clone().into()];
    assert!(!idle.has_passed(&mut Context::from_waker(&wakers[0])));
    assert!(!busy.has_passed(&mut Context::from_waker(&wakers[1])));
    table.wake_followers();
    assert_eq!((woken(&of_idle), woken(&of_busy)), (0, 1));
    // Idle again.
    busy.set(TICK);
    table.wake_followers();
    assert_eq!(woken(&of_busy), 1);
    table.wake_all();
    assert_eq!((woken(&of_idle), woken(&of_busy)), (1, 2));
}

#[test]
fn the_oldest_idle_connections_are_asked_to_end() {
    let table = Deadlines::new(Clock::stopped(), Arc::default());
    let mut context = Context::from_waker(Waker::noop());
    let [first, second, third, busy] = std::array::from_fn(|_| table.register());
    for deadline in [&first, &second, &third, &busy] {
        deadline.set(TICK);
        deadline.idle();
    }
    busy.busy();
    // Idle anew, and so the youngest.
    first.busy();
    first.idle();
    let counts = || {
        (
            table.shown_idle.load(Ordering::Relaxed),
            table.going.load(Ordering::Relaxed),
        )
    };
    assert_eq!(counts(), (3, 0));
    assert_eq!(table.close_oldest(2), 2);
    assert_eq!(counts(), (1, 2));
    let mut asked = || [&first, &second, &third, &busy].map(|deadline| deadline.has_passed(&mut context));
    assert_eq!(asked(), [false, true, true, false]);
    // A request came in that moment.
    second.busy();
    second.set(TICK);
    assert_eq!(asked(), [false, false, true, false]);
    assert_eq!((third.is_asked_to_end(), second.is_asked_to_end()), (true, false));
    drop(third);
    assert_eq!(counts(), (1, 0));
    assert_eq!(table.close_oldest(9), 1);
    assert_eq!(counts(), (0, 1));
}

#[test]
fn what_makes_no_progress_is_told_once() {
    let clock = Clock::stopped();
    let table = Deadlines::new(clock.clone(), Arc::default());
    let (busy, idle) = (table.register(), table.register());
    let mut context = Context::from_waker(Waker::noop());
    let mut after_a_tick = || {
        clock.advance(TICK);
        table.fire(table.now());
        assert_eq!(idle.wait(&mut context), Wait::Running);
        busy.wait(&mut context)
    };
    let minute = Duration::from_secs(60);
    idle.set(minute);
    busy.set_following(busy.now(), minute);
    let expected = [Wait::Running, Wait::Quiet, Wait::Running, Wait::Running];
    assert_eq!([(); 4].map(|()| after_a_tick()), expected);
    // Something moves, for a reader that is as slow as before, and then for another.
    busy.prolong(busy.now(), minute);
    assert_eq!([(); 2].map(|()| after_a_tick()), [Wait::Running; 2]);
    busy.set_following(busy.now(), minute);
    assert_eq!([(); 4].map(|()| after_a_tick()), expected);
}

#[test]
fn stalled_readers_that_hold_most_are_cut() {
    let clock = Clock::stopped();
    let table = Deadlines::new(clock.clone(), Arc::default());
    let mut context = Context::from_waker(Waker::noop());
    let [small, large, larger, young, gone] = std::array::from_fn(|_| table.register());
    let minute = Duration::from_secs(60);
    for (deadline, kib) in [
        (&small, 10),
        (&large, 90),
        (&larger, 100),
        (&young, 500),
        (&gone, 500),
    ] {
        deadline.set_following(deadline.now(), minute);
        deadline.holds_for_reader(kib * 1024);
    }
    // It waits for something else than its reader.
    gone.set_following(gone.now(), minute);
    clock.advance(Duration::from_secs(2));
    young.prolong(young.now(), minute);
    let second = Duration::from_secs(1);
    assert_eq!(table.cut_stalled(second, 101 * 1024), 2);
    let mut waits = || [&small, &large, &larger, &young, &gone].map(|deadline| deadline.wait(&mut context));
    let running = Wait::Running;
    assert_eq!(waits(), [running, Wait::Cut, Wait::Cut, running, running]);
    assert_eq!(table.cut_stalled(second, 101 * 1024), 1, "none is cut twice");
    assert_eq!(waits(), [Wait::Cut, Wait::Cut, Wait::Cut, running, running]);
    assert_eq!(table.cut_stalled(Duration::ZERO, 1), 1);
    // An entry that is used again is not cut.
    large.set(minute);
    assert_eq!(waits(), [Wait::Cut, running, Wait::Cut, Wait::Cut, running]);
}

#[test]
fn the_longest_idle_are_known() {
    let clock = Clock::stopped();
    let table = Deadlines::new(clock.clone(), Arc::default());
    let all: Vec<Deadline> = (0..40).map(|_| table.register()).collect();
    for deadline in &all {
        deadline.set(Duration::from_secs(60));
        deadline.idle();
        clock.advance(TICK);
    }
    let long_idle = |seconds, fewest| table.long_idle(Duration::from_secs(seconds), 8, fewest);
    assert_eq!((long_idle(0, 1), long_idle(0, 9), long_idle(0, 99)), (5, 9, 40));
    assert_eq!((long_idle(3, 99), long_idle(4, 99), long_idle(5, 99)), (11, 1, 0));
}

#[test]
fn the_most_silent_tunnels_are_cut() {
    let clock = Clock::stopped();
    let table = Deadlines::new(clock.clone(), Arc::default());
    let mut context = Context::from_waker(Waker::noop());
    let [first, second, third] = std::array::from_fn(|_| table.register());
    for (deadline, kib) in [(&first, 1), (&second, 9), (&third, 90)] {
        deadline.set_following(deadline.now(), Duration::from_secs(600));
        deadline.holds_for_tunnel(kib * 1024);
        clock.advance(Duration::from_secs(9));
    }
    assert_eq!(table.cut_stalled(Duration::ZERO, usize::MAX), 0, "they are read");
    let mut waits = || [&first, &second, &third].map(|deadline| deadline.wait(&mut context));
    assert_eq!(table.cut_silent(Duration::from_secs(10), usize::MAX, 1), 1);
    assert_eq!(waits(), [Wait::Cut, Wait::Running, Wait::Running]);
    assert_eq!(table.cut_silent(Duration::from_secs(10), usize::MAX, 9), 1);
    assert_eq!(waits(), [Wait::Cut, Wait::Cut, Wait::Running]);
}

#[test]
fn the_entry_of_a_dropped_deadline_is_reused() {
    let table = Deadlines::new(Clock::stopped(), Arc::default());
    let (first, second) = (table.register(), table.register());
    drop(first);
    let third = table.register();
    assert_eq!(
        (third.index, second.index, table.entries.borrow().len()),
        (0, 1, 2)
    );
    drop((second, third));
    assert!(table.is_empty());
}
