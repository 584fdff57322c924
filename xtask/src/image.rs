//! `cargo xtask image`: the gateway as one static binary in a container image, without a container engine.
//!
//! The image contains only the binary, which runs as user 65532, and this machine's certificate authorities, if it has any:
//! backends over TLS are verified against them unless they name others. The result is an archive for `docker load`,
//! `podman load`, `ctr images import` and `k3s ctr images import`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::json;

use crate::command::Invocation;
use crate::workspace::Workspace;

/// As the manifests in `deploy/` name it. `localhost` keeps nodes from asking a registry that is not ours.
pub(crate) const GATEWAY: &str = "localhost/blastdoor:0.1.0";
/// As fast as it gets: the profile of whatever is installed or measured.
pub(crate) const PROFILE: &str = "dist";
/// Where images go.
const FOLDER: &str = "target/image";
/// An unprivileged user without a name.
const USER: &str = "65532:65532";
/// Where Debian keeps the authorities, and where the gateway looks for them.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Builds the gateway as it is shipped.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let name = arguments.first().map_or(GATEWAY, String::as_str);
    let binary = build_static(workspace, PROFILE, "blastdoor", "blastdoor")?;
    let archive = workspace.path(FOLDER).join("blastdoor.tar");
    Image {
        name,
        binary: &binary,
        arguments: &[],
        authorities: authorities(),
    }
    .write(workspace, &archive)?;
    println!("{name}: {}", archive.display());
    Ok(())
}

/// This machine's certificate authorities.
pub(crate) fn authorities() -> Option<&'static Path> {
    let file = Path::new(AUTHORITIES);
    if file.is_file() {
        return Some(file);
    }
    println!(
        "!!! no {AUTHORITIES} here: the image has no certificate authorities (SSL_CERT_FILE names others)"
    );
    None
}

/// Builds one binary that needs no shared library, and returns its path.
///
/// Only the last step, linking, differs from other builds: nothing is compiled again for it.
pub(crate) fn build_static(
    workspace: &Workspace,
    profile: &str,
    package: &str,
    binary: &str,
) -> Result<PathBuf> {
    Invocation::cargo(workspace)
        .args(["rustc", "--profile", profile])
        .args(["--package", package, "--bin", binary])
        .args(["--", "-C", "target-feature=+crt-static", "-C", "strip=debuginfo"])
        .run()?;
    let folder = if profile == "dev" { "debug" } else { profile };
    Ok(workspace.path("target").join(folder).join(binary))
}

/// An image of one static binary, and certificate authorities.
pub(crate) struct Image<'a> {
    pub(crate) name: &'a str,
    pub(crate) binary: &'a Path,
    /// The binary's arguments unless a pod sets others.
    pub(crate) arguments: &'a [&'a str],
    /// A file of them.
    pub(crate) authorities: Option<&'a Path>,
}

impl Image<'_> {
    /// Writes it as an archive; the same files make the same bytes.
    pub(crate) fn write(&self, workspace: &Workspace, archive: &Path) -> Result<()> {
        let work = archive.with_extension("parts");
        let root = work.join("root");
        drop(fs::remove_dir_all(&work));
        fs::create_dir_all(&root).with_context(|| format!("creating {}", root.display()))?;
        let program = self.binary.file_name().context("a binary has a name")?;
        fs::copy(self.binary, root.join(program))
            .with_context(|| format!("copying {}", self.binary.display()))?;
        if let Some(authorities) = self.authorities {
            let copy = root.join(AUTHORITIES.trim_start_matches('/'));
            let folder = copy.parent().context("a file has a folder")?;
            fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
            fs::copy(authorities, &copy).with_context(|| format!("copying {}", authorities.display()))?;
        }
        tar(workspace, &root, Path::new("."), &work.join("layer.tar"))?;
        let layer = sha256(workspace, &work.join("layer.tar"))?;
        let config = json!({
            "architecture": architecture(), "os": "linux",
            "config": {
                "User": USER,
                "Entrypoint": [format!("/{}", program.to_string_lossy())],
                "Cmd": self.arguments,
            },
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{layer}")] },
        });
        fs::write(work.join("config"), config.to_string()).context("writing the image's configuration")?;
        let digest = sha256(workspace, &work.join("config"))?;
        let content = work.join("content");
        fs::create_dir(&content).context("creating the image's folder")?;
        fs::rename(work.join("config"), content.join(format!("{digest}.json")))
            .context("moving the configuration")?;
        fs::rename(work.join("layer.tar"), content.join("layer.tar")).context("moving the layer")?;
        let manifest = json!([{
            "Config": format!("{digest}.json"), "RepoTags": [self.name], "Layers": ["layer.tar"],
        }]);
        fs::write(content.join("manifest.json"), manifest.to_string())
            .context("writing the image's manifest")?;
        tar(workspace, &content, Path::new("."), archive)?;
        fs::remove_dir_all(&work).with_context(|| format!("removing {}", work.display()))
    }
}

/// The name that images use.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn tar(workspace: &Workspace, folder: &Path, what: &Path, archive: &Path) -> Result<()> {
    Invocation::new(workspace, "tar")
        .args(["--sort=name", "--mtime=@0", "--owner=0", "--group=0"])
        .args(["--numeric-owner", "--mode=u=rwX,go=rX"])
        .args([Path::new("-C"), folder, Path::new("-cf"), archive, what])
        .output()
        .map(drop)
}

fn sha256(workspace: &Workspace, file: &Path) -> Result<String> {
    let told = Invocation::new(workspace, "sha256sum").args([file]).output()?;
    let digest = told.split_whitespace().next();
    Ok(digest.context("`sha256sum` said nothing")?.to_owned())
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
        for file in ["hostport.yaml", "hostnetwork.yaml"] {
            let text = fs::read_to_string(workspace.path("deploy/daemonset").join(file)).expect("a manifest");
            assert!(text.contains(&format!("image: {GATEWAY}\n")), "{file}");
        }
    }

    #[test]
    fn an_image_holds_the_binary_and_the_authorities() {
        let workspace = Workspace::here().expect("a workspace");
        let folder = workspace.path("target/image-test");
        fs::create_dir_all(&folder).expect("a folder");
        let binary = folder.join("program");
        fs::write(&binary, "#!").expect("a binary");
        let authorities = folder.join("authorities");
        fs::write(&authorities, "-----BEGIN CERTIFICATE-----").expect("authorities");
        let image = Image {
            name: "localhost/program:1",
            binary: &binary,
            arguments: &["now"],
            authorities: Some(&authorities),
        };
        let archive = folder.join("program.tar");
        image.write(&workspace, &archive).expect("an image");
        let first = fs::read(&archive).expect("an archive");
        image.write(&workspace, &archive).expect("an image");
        assert_eq!(
            fs::read(&archive).expect("an archive"),
            first,
            "the same bytes again"
        );
        let text = String::from_utf8_lossy(&first);
        for expected in [
            r#""RepoTags":["localhost/program:1"]"#,
            r#""Entrypoint":["/program"]"#,
            r#""Cmd":["now"]"#,
            r#""User":"65532:65532""#,
            "./etc/ssl/certs/ca-certificates.crt\0",
            "-----BEGIN CERTIFICATE-----",
        ] {
            assert!(text.contains(expected), "{expected}");
        }
        fs::remove_dir_all(&folder).expect("removing the folder");
    }
}
