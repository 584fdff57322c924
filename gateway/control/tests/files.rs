//! Reading a directory of manifests, and following it with real files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

use control::{FileSource, SourceContent, SourceEvent};
use resource::Severity;
use tempfile::TempDir;
use tokio::sync::mpsc::{self, Receiver};

fn service(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: shop}}\nspec: {{ports: [{{port: 80}}]}}\n"
    )
}

fn names(load: &SourceContent) -> Vec<String> {
    load.view
        .services()
        .map(|service| service.key.name().to_owned())
        .collect()
}

fn problems(load: &SourceContent, directory: &Path) -> Vec<String> {
    let directory = format!("{}/", directory.display());
    load.problems
        .iter()
        .map(|problem| problem.to_string().replace(&directory, ""))
        .collect()
}

fn write(directory: &Path, name: &str, content: impl AsRef<[u8]>) {
    fs::write(directory.join(name), content).unwrap();
}

/// Replaces a file as careful writers do.
fn replace(directory: &Path, name: &str, content: &str) {
    let hidden = directory.join(format!(".{name}.new"));
    fs::write(&hidden, content).unwrap();
    fs::rename(hidden, directory.join(name)).unwrap();
}

#[test]
fn reads_manifests_of_the_directory_itself_in_order_of_names() {
    let directory = TempDir::new().unwrap();
    let path = directory.path();
    write(path, "b.yml", service("b"));
    write(path, "a.yaml", service("a"));
    write(
        path,
        "c.json",
        r#"{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "c"}}"#,
    );
    write(path, ".hidden.yaml", service("hidden"));
    write(path, "notes.txt", service("notes"));
    write(path, "a.yaml~", service("backup"));
    fs::create_dir(path.join("below.yaml")).unwrap();
    fs::create_dir(path.join("below")).unwrap();
    write(&path.join("below"), "d.yaml", service("d"));
    symlink("nowhere", path.join("dangling.yaml")).unwrap();

    let load = FileSource::open(path).unwrap().load().unwrap();
    assert_eq!(names(&load), ["c", "a", "b"], "sorted by namespace, then name");
    assert!(load.problems.is_empty());
}

#[test]
fn the_first_of_two_equal_objects_counts() {
    let directory = TempDir::new().unwrap();
    write(directory.path(), "1.yaml", service("web"));
    write(
        directory.path(),
        "2.yaml",
        format!("{}---\n{}", service("other"), service("web").replace("80", "81")),
    );
    let load = FileSource::open(directory.path()).unwrap().load().unwrap();
    assert_eq!(names(&load), ["other", "web"]);
    let web = load
        .view
        .services()
        .find(|service| service.key.name() == "web")
        .unwrap();
    assert_eq!(web.ports[0].port, 80);
    assert_eq!(
        problems(&load, directory.path()),
        [
            "2.yaml:6: error: Service shop/web metadata.name: written a second time and ignored; \
          the first one, at 1.yaml:1, counts"
        ]
    );
}

#[test]
fn a_missing_directory_is_an_error() {
    let directory = TempDir::new().unwrap();
    let missing = directory.path().join("missing");
    let error = FileSource::open(&missing).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot read the manifests directory `{}`; it must exist and be readable",
            missing.display()
        )
    );
    write(directory.path(), "file", "");
    assert!(FileSource::open(directory.path().join("file")).is_err());
}

#[test]
fn only_changed_files_are_read_again() {
    let directory = TempDir::new().unwrap();
    for number in 0..1_000 {
        write(
            directory.path(),
            &format!("{number:04}.yaml"),
            service(&format!("s{number}")),
        );
    }
    let mut source = FileSource::open(directory.path()).unwrap();
    let first = source.load().unwrap();
    assert_eq!(first.view.services().len(), 1_000);
    replace(directory.path(), "0500.yaml", &service("changed"));
    let second = source.load().unwrap();
    assert!(names(&second).contains(&"changed".to_owned()));
    let kept = first.view.services().filter(|before| {
        second
            .view
            .service(&before.key)
            .is_some_and(|after| std::sync::Arc::ptr_eq(before, after))
    });
    assert_eq!(kept.count(), 999, "objects of unchanged files are the same ones");
}

#[test]
fn a_change_that_keeps_length_and_time_is_seen() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("a.yaml");
    write(directory.path(), "a.yaml", service("one"));
    let time = fs::metadata(&file).unwrap().modified().unwrap();
    let mut source = FileSource::open(directory.path()).unwrap();
    assert_eq!(names(&source.load().unwrap()), ["one"]);
    write(directory.path(), "a.yaml", service("two"));
    fs::File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .set_modified(time)
        .unwrap();
    assert_eq!(names(&source.load().unwrap()), ["two"]);
}

#[test]
fn a_file_that_becomes_unreadable_keeps_its_last_good_content() {
    let directory = TempDir::new().unwrap();
    write(directory.path(), "a.yaml", service("web"));
    let mut source = FileSource::open(directory.path()).unwrap();
    source.load().unwrap();
    // A link to something that cannot be read as a file stands for every error but absence, also for root.
    fs::remove_file(directory.path().join("a.yaml")).unwrap();
    symlink("a.yaml", directory.path().join("a.yaml")).unwrap();
    let load = source.load().unwrap();
    assert_eq!(names(&load), ["web"]);
    let reported = problems(&load, directory.path());
    assert_eq!(reported.len(), 1);
    assert!(
        reported[0].contains("a.yaml: cannot be read, its last good content stays"),
        "{reported:?}"
    );
    assert_eq!(load.problems.iter().next().unwrap().severity, Severity::Error);
    fs::remove_file(directory.path().join("a.yaml")).unwrap();
    write(directory.path(), "a.yaml", service("web"));
    assert_eq!(problems(&source.load().unwrap(), directory.path()), [""; 0]);
}

/// A followed directory.
struct Followed {
    directory: TempDir,
    events: Receiver<SourceEvent>,
}

impl Followed {
    /// Follows a directory that holds the Service `first`, and takes the first event.
    async fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let manifests = directory.path().join("manifests");
        fs::create_dir(&manifests).unwrap();
        write(&manifests, "first.yaml", service("first"));
        let (sender, events) = mpsc::channel(4);
        let source = FileSource::open(&manifests).unwrap();
        tokio::task::spawn_local(source.watch(sender));
        let mut followed = Self { directory, events };
        assert_eq!(names(&followed.loaded().await), ["first"]);
        followed
    }

    fn path(&self) -> std::path::PathBuf {
        self.directory.path().join("manifests")
    }

    async fn event(&mut self) -> SourceEvent {
        tokio::time::timeout(Duration::from_secs(8), self.events.recv())
            .await
            .expect("an event")
            .expect("a source")
    }

    async fn loaded(&mut self) -> SourceContent {
        match self.event().await {
            SourceEvent::Loaded(load) => load,
            SourceEvent::Unavailable(problem) => panic!("{problem}"),
        }
    }

    async fn is_silent(&mut self, time: Duration) -> bool {
        tokio::time::timeout(time, self.events.recv()).await.is_err()
    }
}

/// Runs a test on a runtime of its own, as the control plane does.
fn on_runtime(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test);
}

#[test]
fn follows_single_changes_quickly() {
    on_runtime(async {
        let mut followed = Followed::start().await;
        let path = followed.path();

        let begin = Instant::now();
        replace(&path, "second.yaml", &service("second"));
        assert_eq!(names(&followed.loaded().await), ["first", "second"]);
        assert!(
            begin.elapsed() < Duration::from_millis(600),
            "{:?}",
            begin.elapsed()
        );

        fs::remove_file(path.join("first.yaml")).unwrap();
        assert_eq!(names(&followed.loaded().await), ["second"]);

        write(&path, "second.yaml", "kind: [");
        let load = followed.loaded().await;
        assert_eq!(names(&load), [""; 0]);
        assert_eq!(load.problems.iter().count(), 1);

        symlink("../elsewhere.yaml", path.join("link.yaml")).unwrap();
        write(followed.directory.path(), "elsewhere.yaml", service("linked"));
        assert_eq!(names(&followed.loaded().await), ["linked"]);
    });
}

#[test]
fn irrelevant_changes_are_not_reported() {
    on_runtime(async {
        let mut followed = Followed::start().await;
        write(&followed.path(), "notes.txt", "no manifest");
        write(&followed.path(), ".first.yaml.swp", "an editor's");
        replace(&followed.path(), "first.yaml", &service("first"));
        fs::read(followed.path().join("first.yaml")).unwrap();
        assert!(followed.is_silent(Duration::from_secs(3)).await);
    });
}

#[test]
fn a_slowly_written_file_is_never_read_half() {
    on_runtime(async {
        let mut followed = Followed::start().await;
        let content = format!("{}---\n{}", service("first"), service("second"));
        let mut file = fs::File::create(followed.path().join("first.yaml")).unwrap();
        for part in content.as_bytes().chunks(content.len() / 4) {
            file.write_all(part).unwrap();
            file.sync_data().unwrap();
            assert!(followed.is_silent(Duration::from_millis(300)).await);
        }
        let begin = Instant::now();
        drop(file);
        assert_eq!(names(&followed.loaded().await), ["first", "second"]);
        assert!(
            begin.elapsed() < Duration::from_millis(600),
            "{:?}",
            begin.elapsed()
        );
    });
}

#[test]
fn a_file_held_open_delays_a_change_by_two_seconds_at_most() {
    on_runtime(async {
        let mut followed = Followed::start().await;
        let begin = Instant::now();
        let mut file = fs::File::create(followed.path().join("other.yaml")).unwrap();
        file.write_all(service("other").as_bytes()).unwrap();
        assert_eq!(names(&followed.loaded().await), ["first", "other"]);
        let waited = begin.elapsed();
        assert!(
            waited > Duration::from_millis(1_500) && waited < Duration::from_secs(4),
            "{waited:?}"
        );
    });
}

#[test]
fn a_mounted_config_map_is_swapped_whole() {
    on_runtime(async {
        let directory = TempDir::new().unwrap();
        let path = directory.path();
        let version = |number: u32, names: [&str; 2]| {
            let data = path.join(format!("..{number}"));
            fs::create_dir(&data).unwrap();
            write(&data, "a.yaml", service(names[0]));
            write(&data, "b.yaml", service(names[1]));
            symlink(format!("..{number}"), path.join("..data_tmp")).unwrap();
            fs::rename(path.join("..data_tmp"), path.join("..data")).unwrap();
        };
        version(1, ["a1", "b1"]);
        symlink("..data/a.yaml", path.join("a.yaml")).unwrap();
        symlink("..data/b.yaml", path.join("b.yaml")).unwrap();
        let (sender, events) = mpsc::channel(4);
        tokio::task::spawn_local(FileSource::open(path).unwrap().watch(sender));
        let mut followed = Followed {
            directory: TempDir::new().unwrap(),
            events,
        };
        assert_eq!(names(&followed.loaded().await), ["a1", "b1"]);
        for number in 2..5 {
            let begin = Instant::now();
            version(number, [&format!("a{number}"), &format!("b{number}")]);
            assert_eq!(
                names(&followed.loaded().await),
                [format!("a{number}"), format!("b{number}")]
            );
            assert!(
                begin.elapsed() < Duration::from_millis(800),
                "{:?}",
                begin.elapsed()
            );
            fs::remove_dir_all(path.join(format!("..{}", number - 1))).unwrap();
        }
    });
}

#[test]
fn a_lost_directory_keeps_what_it_held_until_it_returns() {
    on_runtime(async {
        let mut followed = Followed::start().await;
        fs::remove_dir_all(followed.path()).unwrap();
        match followed.event().await {
            SourceEvent::Unavailable(problem) => {
                let text = problem.to_string();
                assert!(text.starts_with("error: File "), "{text}");
                assert!(text.contains("cannot read the manifests directory"), "{text}");
                assert!(text.ends_with("the last good content stays in force"), "{text}");
            }
            SourceEvent::Loaded(load) => panic!("reported as a change: {:?}", names(&load)),
        }
        assert!(followed.is_silent(Duration::from_secs(1)).await, "reported once");

        fs::create_dir(followed.path()).unwrap();
        assert_eq!(
            names(&followed.loaded().await),
            [""; 0],
            "an empty directory is a statement"
        );
        write(&followed.path(), "again.yaml", service("again"));
        let begin = Instant::now();
        assert_eq!(names(&followed.loaded().await), ["again"]);
        assert!(
            begin.elapsed() < Duration::from_millis(600),
            "the new directory is watched: {:?}",
            begin.elapsed()
        );
    });
}

#[test]
fn a_directory_that_is_replaced_is_followed() {
    on_runtime(async {
        let mut followed = Followed::start().await;
        let next = followed.directory.path().join("next");
        fs::create_dir(&next).unwrap();
        write(&next, "next.yaml", service("next"));
        fs::rename(followed.path(), followed.directory.path().join("old")).unwrap();
        fs::rename(&next, followed.path()).unwrap();
        assert_eq!(names(&followed.loaded().await), ["next"]);
        write(&followed.path(), "more.yaml", service("more"));
        assert_eq!(names(&followed.loaded().await), ["more", "next"]);
    });
}

#[test]
fn many_files_arrive_as_few_events() {
    on_runtime(async {
        let mut followed = Followed::start().await;
        for number in 0..1_000 {
            write(
                &followed.path(),
                &format!("{number:04}.yaml"),
                service(&format!("s{number}")),
            );
        }
        let mut events = 0;
        loop {
            events += 1;
            if names(&followed.loaded().await).len() == 1_001 {
                break;
            }
        }
        assert!(events <= 5, "{events} events");
    });
}

#[test]
fn a_listener_that_leaves_ends_the_watch() {
    on_runtime(async {
        let directory = TempDir::new().unwrap();
        let (sender, events) = mpsc::channel(1);
        let watch = tokio::task::spawn_local(FileSource::open(directory.path()).unwrap().watch(sender));
        drop(events);
        tokio::time::timeout(Duration::from_secs(2), watch)
            .await
            .expect("it ends")
            .unwrap();
    });
}

#[test]
fn an_unreadable_file_affects_only_itself() {
    let directory = TempDir::new().unwrap();
    write(directory.path(), "a.yaml", service("a"));
    write(directory.path(), "b.yaml", service("b"));
    fs::set_permissions(directory.path().join("a.yaml"), fs::Permissions::from_mode(0o000)).unwrap();
    let readable_anyway = fs::read(directory.path().join("a.yaml")).is_ok();
    let load = FileSource::open(directory.path()).unwrap().load().unwrap();
    if readable_anyway {
        // Root reads everything.
        assert_eq!(names(&load), ["a", "b"]);
    } else {
        assert_eq!(names(&load), ["b"]);
        assert_eq!(load.problems.iter().count(), 1);
    }
}
