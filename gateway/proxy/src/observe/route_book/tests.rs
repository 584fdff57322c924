use super::*;

/// A door that serves these Ingresses, each with a Service of the same name.
#[derive(Default)]
struct Door(Mutex<(u64, Vec<ObjectKey>)>);

impl Door {
    fn publishes(&self, numbers: impl Iterator<Item = usize>) {
        let mut state = self.0.lock().unwrap();
        *state = (state.0 + 1, numbers.map(key).collect());
    }
}

impl Serving for Door {
    fn publication(&self) -> u64 {
        self.0.lock().unwrap().0
    }

    fn served(&self) -> Served {
        let (publication, keys) = self.0.lock().unwrap().clone();
        Served {
            publication,
            ingresses: keys.iter().cloned().collect(),
            services: keys.into_iter().collect(),
        }
    }

    fn ejected(&self) -> BTreeMap<ObjectKey, usize> {
        BTreeMap::new()
    }
}

fn key(number: usize) -> ObjectKey {
    ObjectKey::new("shop", format!("app-{number}"))
}

fn open(most: usize) -> (RouteBook, Arc<Door>) {
    let (book, door) = (RouteBook::default(), Arc::<Door>::default());
    book.bound(most);
    book.is_of(Arc::<Door>::downgrade(&door) as Weak<dyn Serving>);
    (book, door)
}

/// What a worker finds for a 200 of the Service of an Ingress.
fn find(book: &RouteBook, number: usize) -> Found {
    book.find(0, &key(number), Some(&key(number)), 1)
}

/// Series of requests, of everything else, and those that were folded.
fn sizes(book: &RouteBook) -> (usize, usize, u64) {
    let book = book.lock();
    (book.requests, book.details, book.folded)
}

#[test]
fn the_bound_holds_and_what_is_beyond_is_counted_once() {
    let (book, door) = open(1_000);
    door.publishes(0..3_000);
    for _ in 0..3 {
        for number in 0..3_000 {
            let _found = find(&book, number);
            let _counts = book.service(&key(number));
        }
    }
    let (requests, details, folded) = sizes(&book);
    let (most_requests, most_details) = {
        let book = book.lock();
        (book.most_requests(), book.most_details())
    };
    assert_eq!(requests, most_requests);
    assert!(
        details <= most_details && details + OF_TRAFFIC > most_details,
        "{details}"
    );
    assert!(requests + details + OF_OTHER + 1_000 / ONE_OUT <= 1_000);
    let all = 3_000 * (1 + OF_TRAFFIC + OF_SERVICE);
    assert_eq!(usize::try_from(folded).unwrap(), all - requests - details);
    assert!(find(&book, 0).is_own && !find(&book, 2_999).is_own);
}

#[test]
fn what_one_half_cannot_need_is_room_of_the_other() {
    // More than half of all series are of times, bytes and Services.
    let (book, door) = open(1_000);
    door.publishes(0..40);
    for number in 0..40 {
        let _found = find(&book, number);
        let _counts = book.service(&key(number));
    }
    assert_eq!(sizes(&book), (40, 40 * (OF_TRAFFIC + OF_SERVICE), 0));
    // More than half of them are of requests: each of the Services answers for each of the Ingresses.
    let (book, door) = open(1_000);
    door.publishes(0..20);
    let pairs = (0..20).flat_map(|ingress| (0..20).map(move |service| (ingress, service)));
    let finds = pairs.flat_map(|(ingress, service)| {
        let found = [1, 3].map(|class| book.find(0, &key(ingress), Some(&key(service)), class));
        found.map(|found| found.is_own)
    });
    let own = finds.filter(|is_own| *is_own).count();
    let kept = 20 * (OF_TRAFFIC + OF_SERVICE);
    assert_eq!(own, book.lock().room() - kept);
    assert_eq!((sizes(&book).0, sizes(&book).1), (own, 20 * OF_TRAFFIC));
    // There is still room for what is kept.
    for number in 0..20 {
        assert!(!Arc::ptr_eq(
            &book.service(&key(number)),
            &book.lock().other_service
        ));
    }
}

#[test]
fn a_door_that_grows_keeps_within_the_bound() {
    let (book, door) = open(1_000);
    door.publishes(0..50);
    for number in 0..50 {
        let _found = find(&book, number);
        let _counts = book.service(&key(number));
    }
    door.publishes(0..3_000);
    for number in 0..3_000 {
        let _found = find(&book, number);
        let _counts = book.service(&key(number));
        let book = book.lock();
        assert!(book.requests + book.details <= book.room());
    }
    let (requests, details, _) = sizes(&book);
    assert!(
        requests > OF_REQUESTS * 50 - 1 && details > 500,
        "{requests} {details}"
    );
}

#[test]
fn each_class_of_status_is_a_series() {
    let (book, door) = open(100);
    door.publishes(0..1);
    let classes = [1, 3, 4, 1];
    for class in classes {
        assert!(book.find(0, &key(0), None, class).is_own);
    }
    assert_eq!(sizes(&book).0, 3);
    // No status at all.
    assert!(!book.find(0, &key(0), None, usize::MAX).is_own);
    assert_eq!(sizes(&book).0, 3);
}

#[test]
fn workers_have_counters_of_their_own_and_find_them_again() {
    let (book, door) = open(100);
    door.publishes(0..1);
    let (first, second) = (find(&book, 0), book.find(1, &key(0), Some(&key(0)), 1));
    assert!(!Arc::ptr_eq(&first.answers, &second.answers));
    assert!(Arc::ptr_eq(&first.answers, &find(&book, 0).answers));
    assert!(Arc::ptr_eq(&first.traffic, &find(&book, 0).traffic));
}

#[test]
fn what_is_gone_makes_room_and_what_has_changed_keeps_its_counters() {
    let (book, door) = open(100);
    door.publishes(0..100);
    for number in 0..100 {
        let _found = find(&book, number);
    }
    let (kept, edition) = (find(&book, 1), book.edition());
    assert!(!find(&book, 99).is_own);
    // Everything but two is gone. The full book notices by itself.
    door.publishes([1, 99].into_iter());
    book.lock().looked = None;
    let late = book.find(0, &key(99), Some(&key(99)), 3);
    assert!(late.is_own && book.edition() > edition);
    assert_eq!(book.lock().ingresses.len(), 2);
    assert!(Arc::ptr_eq(&kept.answers, &find(&book, 1).answers));
    assert!(find(&book, 99).is_own, "it is in time now");
}

#[test]
fn a_scrape_forgets_what_is_gone_and_no_route_that_is_newer() {
    let (book, door) = open(100);
    door.publishes(0..2);
    let shown = || book.read(|book, _| book.ingresses.len());
    let _found = (find(&book, 0), find(&book, 1), book.service(&key(1)));
    assert_eq!(shown(), 2);
    let earlier = door.served();
    door.publishes(1..3);
    let _found = find(&book, 2);
    // As if the scrape had looked before the publication.
    book.lock().forget_the_gone(&earlier);
    assert_eq!(book.lock().ingresses.len(), 3);
    assert_eq!(shown(), 2);
    // A request that began before its Ingress went.
    let _found = find(&book, 0);
    assert_eq!(shown(), 2);
    drop(door);
    assert_eq!(shown(), 0, "the door has closed");
    assert_eq!(book.read(|book, _| book.services.len()), 0);
}

#[test]
fn a_service_that_is_gone_goes_from_an_ingress_that_stays() {
    let (book, door) = open(100);
    let shown = || {
        book.read(|book, _| {
            book.ingresses
                .values()
                .map(|entry| entry.services.len())
                .sum::<usize>()
        })
    };
    // Each deployment has a Service with a name of its own.
    for deployment in 1..1_000 {
        door.publishes([0, deployment].into_iter());
        assert!(
            book.find(0, &key(0), Some(&key(deployment)), 1).is_own,
            "{deployment}"
        );
        assert_eq!(shown(), 1);
    }
    assert!(book.find(0, &key(0), None, 1).is_own, "the gateway itself");
    assert_eq!((shown(), sizes(&book)), (2, (2, OF_TRAFFIC, 0)));
    let edition = book.edition();
    let earlier = door.served();
    door.publishes([0, 1_000].into_iter());
    let found = book.find(0, &key(0), Some(&key(1_000)), 1);
    // As if the scrape had looked before the publication.
    book.lock().forget_the_gone(&earlier);
    assert!(Arc::ptr_eq(
        &found.answers,
        &book.find(0, &key(0), Some(&key(1_000)), 1).answers
    ));
    assert_eq!(shown(), 2);
    assert!(book.edition() > edition, "workers keep what is counted no more");
    // A request that began before its Service went.
    let _found = book.find(0, &key(0), Some(&key(999)), 1);
    assert_eq!(shown(), 2);
}

#[test]
fn a_lower_bound_begins_anew_and_a_higher_one_lets_others_in() {
    let (book, door) = open(100);
    door.publishes(0..100);
    for number in 0..100 {
        let _found = find(&book, number);
    }
    let (first, editions) = (find(&book, 0), [book.edition(), book.edition() + 1]);
    book.bound(1_000);
    assert_eq!(book.edition(), editions[1]);
    assert!(Arc::ptr_eq(&first.answers, &find(&book, 0).answers));
    for number in 0..100 {
        assert!(find(&book, number).is_own, "{number}");
    }
    book.bound(1_000);
    assert_eq!(book.edition(), editions[1]);
    book.bound(100);
    assert_eq!(sizes(&book).0, 0);
    assert!(!Arc::ptr_eq(&first.answers, &find(&book, 0).answers));
}

#[test]
fn ejected_endpoints_of_too_many_services_are_added_up() {
    let all: BTreeMap<ObjectKey, usize> = (0..5).map(|number| (key(number), number)).collect();
    let expected = vec![(Some(key(0)), 0), (Some(key(1)), 1), (None, 9)];
    assert_eq!(bounded(all.clone(), 2), expected);
    assert_eq!(bounded(all, 5).len(), 5);
}
