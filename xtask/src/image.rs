//! `cargo xtask image`: the gateway as one static binary in a container image, without a container engine.
//!
//! The image holds the binary and Mozilla's certificate authorities, against which backends over TLS are verified unless they
//! name others: no shell, no folder that can be written, and a user without rights. A second image, whose name ends in
//! `-netbind`, differs in one attribute: its binary has the file capability `cap_net_bind_service`, so that it binds ports
//! below 1024 on the nodes' own network. It is a variant, because a pod that drops all capabilities and does not add this
//! one cannot start it.
//!
//! A digest is a function of the commit and of the compilers (ADR 49). `cargo xtask reproduce` builds twice and compares.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

use crate::binary::{self, Commit, TARGETS, Target};
use crate::ci::LeftOut;
use crate::command::Invocation;
use crate::oci::{self, Content, Image, Written};
use crate::sbom;
use crate::workspace::Workspace;

/// As the manifests in `deploy/` name it. `localhost` keeps nodes from asking a registry that is not ours.
pub(crate) const GATEWAY: &str = "localhost/blastdoor:0.1.0";
/// As fast as it gets: the profile of whatever is installed or measured.
pub(crate) const PROFILE: &str = "dist";
/// What CI runs on nodes and as images: optimised, and built in a fraction of the time.
pub(crate) const TESTED: &str = "release";
/// Where images go.
pub(crate) const FOLDER: &str = "target/image";
/// Where images of the profile `TESTED` go, so that they are not taken for what is shipped.
const TESTED_FOLDER: &str = "target/image/tested";
/// The bill of materials, beside them.
const BILL: &str = "blastdoor.cdx.json";
/// A node downloads less than this.
const LARGEST: usize = 20_000_000;
/// Where the gateway, like most programs, looks for the authorities.
const AUTHORITIES: &str = "etc/ssl/certs/ca-certificates.crt";
/// `cap_net_bind_service=ep` as the kernel reads it from a file (`struct vfs_cap_data`, version 2): effective, capability 10
/// permitted, none inheritable.
const NET_BIND_SERVICE: [u8; 20] = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// The images: what their names and files end in, and the binary's capability.
const VARIANTS: [(&str, Option<[u8; 20]>); 2] = [("", None), ("-netbind", Some(NET_BIND_SERVICE))];

const USAGE: &str = "\
`cargo xtask image` takes the image's name and these options:

  --target TRIPLE     x86_64-unknown-linux-gnu or aarch64-unknown-linux-gnu; this machine's without it
  --profile PROFILE   dist without it
  --root FOLDER       put the image's files there too, for an engine to make an image of";

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    name: String,
    target: Target,
    profile: String,
    root: Option<PathBuf>,
}

/// Builds the gateway as it is shipped.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    if let Some(LeftOut(what)) = build(workspace, &parse(arguments)?)? {
        println!("!!! LEFT OUT: {what}");
    }
    Ok(())
}

fn build(workspace: &Workspace, wanted: &Wanted) -> Result<Option<LeftOut>> {
    let commit = Commit::here(workspace)?;
    let binary = binary::build_alike(workspace, &wanted.profile, wanted.target, &commit)?;
    let program = read_static(&binary)?;
    if let Some(root) = &wanted.root {
        unpack(&files(&program, None), &workspace.path(root))?;
    }
    let folder = workspace.path(FOLDER);
    write(&program, wanted, &commit, &folder)?;
    bill(workspace, wanted, &commit, &folder)
}

fn read_static(binary: &Path) -> Result<Vec<u8>> {
    let program = fs::read(binary).with_context(|| format!("reading {}", binary.display()))?;
    if !binary::is_static(&program) {
        bail!("{} is not static", binary.display());
    }
    Ok(program)
}

/// Writes both images into a folder.
fn write(program: &[u8], wanted: &Wanted, commit: &Commit, folder: &Path) -> Result<()> {
    for (variant, capability) in VARIANTS {
        let archive = folder.join(format!("blastdoor{variant}.tar"));
        let image = Image {
            name: &format!("{}{variant}", wanted.name),
            files: &files(program, capability),
            entrypoint: "blastdoor",
            arguments: &[],
            architecture: wanted.target.architecture,
            created: commit.time,
            labels: &labels(commit),
        };
        let written = image.write(&archive)?;
        fs::write(archive.with_extension("digest"), format!("{}\n", written.digest))
            .context("writing the digest")?;
        println!("{}: {}", image.name, archive.display());
        tell(&written);
        // Without optimisation it need not be small.
        if [PROFILE, TESTED].contains(&wanted.profile.as_str()) && written.packed >= LARGEST {
            bail!(
                "an image of {} bytes is too large: at most {LARGEST}",
                written.packed
            );
        }
    }
    Ok(())
}

fn bill(workspace: &Workspace, wanted: &Wanted, commit: &Commit, folder: &Path) -> Result<Option<LeftOut>> {
    let missing = sbom::write(workspace, wanted.target.triple, commit, &folder.join(BILL))?;
    Ok(missing.map(LeftOut))
}

/// The step of CI `image`: images that are small and static, and run as pods run them.
///
/// Their binary is the one of the step `nodes`, so nothing is compiled and this is never left out.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<LeftOut>> {
    let mut wanted = parse(&[])?;
    TESTED.clone_into(&mut wanted.profile);
    let commit = Commit::here(workspace)?;
    let binary = binary::build_static(workspace, TESTED, "blastdoor", "blastdoor")?;
    let folder = workspace.path(TESTED_FOLDER);
    write(&read_static(&binary)?, &wanted, &commit, &folder)?;
    let bill = bill(workspace, &wanted, &commit, &folder)?;
    Ok(run_as_pods(workspace, &folder)?.into_iter().chain(bill).collect())
}

/// The step of CI `dist`: the same of the images that are shipped.
pub(crate) fn check_dist(workspace: &Workspace) -> Result<Vec<LeftOut>> {
    let bill = build(workspace, &parse(&[])?)?;
    let left_out = run_as_pods(workspace, &workspace.path(FOLDER))?;
    Ok(left_out.into_iter().chain(bill).collect())
}

/// Tells what could not run here.
fn run_as_pods(workspace: &Workspace, folder: &Path) -> Result<Vec<LeftOut>> {
    let left_out = folder.join("left-out");
    Invocation::new(workspace, "python3")
        .args(["tests/deploy/image.py".as_ref(), folder])
        .args(["--left-out".as_ref(), left_out.as_path()])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .run()?;
    let left_out = fs::read_to_string(left_out).context("reading left-out")?;
    Ok(left_out.lines().map(|line| LeftOut(line.to_owned())).collect())
}

/// One static binary as an image, for tests.
pub(crate) fn of_one_binary(name: &str, binary: &Path, arguments: &[&str], archive: &Path) -> Result<()> {
    let program = fs::read(binary).with_context(|| format!("reading {}", binary.display()))?;
    let path = binary
        .file_name()
        .context("a binary has a name")?
        .to_string_lossy();
    let mut files = files(&program, None);
    if let Some(file) = files.first_mut() {
        file.path = &path;
    }
    let image = Image {
        name,
        files: &files,
        entrypoint: &path,
        arguments,
        architecture: Target::of_machine()?.architecture,
        created: 0,
        labels: &[],
    };
    image.write(archive).map(drop)
}

fn parse(arguments: &[String]) -> Result<Wanted> {
    let mut wanted = Wanted {
        name: GATEWAY.to_owned(),
        target: Target::of_machine().unwrap_or(TARGETS[0]),
        profile: PROFILE.to_owned(),
        root: None,
    };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        if !argument.starts_with('-') {
            wanted.name.clone_from(argument);
            continue;
        }
        let value = arguments
            .next()
            .with_context(|| format!("{argument} takes a value\n\n{USAGE}"))?;
        match argument.as_str() {
            "--target" => {
                let target = TARGETS.into_iter().find(|target| target.triple == value);
                wanted.target = target.with_context(|| format!("images are not for `{value}`\n\n{USAGE}"))?;
            }
            "--profile" => wanted.profile.clone_from(value),
            "--root" => wanted.root = Some(PathBuf::from(value)),
            _ => bail!("there is no option {argument}\n\n{USAGE}"),
        }
    }
    Ok(wanted)
}

/// The files of an image of the gateway.
fn files(program: &[u8], capability: Option<[u8; 20]>) -> Vec<Content<'static>> {
    vec![
        Content {
            path: "blastdoor",
            bytes: program.to_vec(),
            is_program: true,
            capability,
        },
        Content {
            path: AUTHORITIES,
            bytes: authorities().into_bytes(),
            is_program: false,
            capability: None,
        },
    ]
}

/// Mozilla's certificate authorities for servers, in one file as programs read them (RFC 7468).
fn authorities() -> String {
    let mut text = String::new();
    for authority in TLS_SERVER_ROOT_CERTS {
        text.push_str("-----BEGIN CERTIFICATE-----");
        for (position, character) in STANDARD.encode(authority).chars().enumerate() {
            if position.is_multiple_of(64) {
                text.push('\n');
            }
            text.push(character);
        }
        text.push_str("\n-----END CERTIFICATE-----\n");
    }
    text
}

/// What an image says about itself (OCI image-spec, `annotations.md`).
fn labels(commit: &Commit) -> Vec<(&'static str, String)> {
    let repository = env!("CARGO_PKG_REPOSITORY");
    let labels = [
        ("org.opencontainers.image.title", "blastdoor"),
        (
            "org.opencontainers.image.description",
            "A split-horizon HTTP gateway for Kubernetes: several isolated listeners in one process",
        ),
        ("org.opencontainers.image.version", env!("CARGO_PKG_VERSION")),
        ("org.opencontainers.image.revision", &commit.revision),
        ("org.opencontainers.image.created", &oci::rfc3339(commit.time)),
        ("org.opencontainers.image.licenses", env!("CARGO_PKG_LICENSE")),
        ("org.opencontainers.image.url", repository),
        ("org.opencontainers.image.source", repository),
        (
            "org.opencontainers.image.documentation",
            concat!(env!("CARGO_PKG_REPOSITORY"), "/tree/main/docs"),
        ),
    ];
    labels.map(|(key, value)| (key, value.to_owned())).to_vec()
}

/// Puts the files where an engine can copy them from.
fn unpack(files: &[Content<'_>], root: &Path) -> Result<()> {
    for file in files {
        let path = root.join(file.path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        }
        fs::write(&path, &file.bytes).with_context(|| format!("writing {}", path.display()))?;
        #[cfg(unix)]
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(file.mode()))
            .with_context(|| format!("setting the mode of {}", path.display()))?;
    }
    Ok(())
}

fn tell(written: &Written) {
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let megabytes = |bytes: usize| bytes as f64 / 1e6;
    println!(
        "  {}, {:.1} MB to download, {:.1} MB unpacked",
        written.digest,
        megabytes(written.packed),
        megabytes(written.unpacked)
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifests_name_the_image_of_this_version() {
        assert!(
            GATEWAY.ends_with(concat!(":", env!("CARGO_PKG_VERSION"))),
            "{GATEWAY}"
        );
        let workspace = Workspace::here().expect("a workspace");
        let is_workload = |file: &Path| {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("daemonset-") || name.starts_with("deployment-")
        };
        let files = workspace
            .files("deploy/kustomize", is_workload)
            .expect("manifests");
        assert!(!files.is_empty());
        for file in files {
            let text = fs::read_to_string(workspace.path(&file)).expect("a manifest");
            assert!(
                text.contains(&format!("image: \"{GATEWAY}\"\n")),
                "{}",
                file.display()
            );
        }
    }

    #[test]
    fn authorities_are_a_file_of_certificates() {
        let text = authorities();
        let count = TLS_SERVER_ROOT_CERTS.len();
        assert!(count > 100, "{count}");
        assert_eq!(text.matches("-----BEGIN CERTIFICATE-----\n").count(), count);
        assert_eq!(text.matches("\n-----END CERTIFICATE-----\n").count(), count);
        assert!(text.lines().all(|line| line.len() <= 64 && !line.is_empty()));
    }

    #[test]
    fn options_are_read_and_wrong_ones_refused() {
        let parsed = |line: &str| {
            let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            parse(&arguments)
        };
        let wanted = parsed("ghcr.io/x/y:1 --target aarch64-unknown-linux-gnu --profile dev --root /image");
        let wanted = wanted.expect("options");
        assert_eq!(wanted.name, "ghcr.io/x/y:1");
        assert_eq!(wanted.target.architecture, "arm64");
        assert_eq!(wanted.profile, "dev");
        assert_eq!(wanted.root, Some(PathBuf::from("/image")));
        assert_eq!(parsed("").expect("defaults").name, GATEWAY);
        for wrong in ["--target", "--target sparc", "--fast yes"] {
            let error = parsed(wrong).unwrap_err().to_string();
            assert!(error.contains("--root FOLDER"), "{error}");
        }
    }
}
