//! Container images, written without a container engine.
//!
//! An archive is an image layout of OCI (image-spec, `image-layout.md`), with the `manifest.json` of `docker save` beside it,
//! as `docker save` itself writes it since version 25. `docker load`, `podman load`, `ctr images import` and
//! `k3s ctr images import` read it; unpacked, `crane push` and `skopeo copy oci:` do.
//!
//! An archive is a function of what goes in: names are sorted, times are the given one, owners are root, and the compressor
//! is in the lock file. The same image has the same digest wherever it is made.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

/// Which user a container runs as, unless a pod says otherwise: one without a name, a home or rights.
const USER: &str = "65532:65532";
/// Operating systems give it to every gzip stream; 255 is "unknown" (RFC 1952, 2.3.1).
const UNKNOWN_SYSTEM: u8 = 255;

/// A file of an image.
pub(crate) struct Content<'a> {
    /// Without the leading slash.
    pub(crate) path: &'a str,
    pub(crate) bytes: Vec<u8>,
    pub(crate) is_program: bool,
    /// What its extended attribute `security.capability` holds.
    pub(crate) capability: Option<[u8; 20]>,
}

impl Content<'_> {
    pub(crate) fn mode(&self) -> u32 {
        if self.is_program { 0o755 } else { 0o644 }
    }
}

/// An image of one layer.
pub(crate) struct Image<'a> {
    pub(crate) name: &'a str,
    pub(crate) files: &'a [Content<'a>],
    /// What runs, and its arguments unless a pod sets others.
    pub(crate) entrypoint: &'a str,
    pub(crate) arguments: &'a [&'a str],
    /// As images name it: `amd64`, `arm64`.
    pub(crate) architecture: &'a str,
    /// Seconds since 1970: of the image and of each of its files.
    pub(crate) created: u64,
    /// `org.opencontainers.image.*` (image-spec, `annotations.md`).
    pub(crate) labels: &'a [(&'a str, String)],
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written {
    /// Of the manifest: what a registry knows the image by.
    pub(crate) digest: String,
    /// Bytes that a node downloads, and that it then keeps unpacked.
    pub(crate) packed: usize,
    pub(crate) unpacked: usize,
}

impl Image<'_> {
    /// Writes it as an archive.
    pub(crate) fn write(&self, archive: &Path) -> Result<Written> {
        let layer = self.layer()?;
        let packed = compressed(&layer)?;
        let config = self.config(&layer).to_string().into_bytes();
        let labels: Value = self.labels.iter().cloned().collect();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar+gzip", &packed)],
            "annotations": labels,
        })
        .to_string()
        .into_bytes();
        let mut described = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
        if let Some(described) = described.as_object_mut() {
            described.insert(
                "platform".to_owned(),
                json!({ "architecture": self.architecture, "os": "linux" }),
            );
            // containerd takes the image's name from here.
            described.insert(
                "annotations".to_owned(),
                json!({ "io.containerd.image.name": self.name }),
            );
        }
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [described],
        });
        let docker = json!([{
            "Config": blob(&config), "RepoTags": [self.name], "Layers": [blob(&packed)],
        }]);
        let mut files = vec![
            ("index.json".to_owned(), index.to_string().into_bytes()),
            ("manifest.json".to_owned(), docker.to_string().into_bytes()),
            (
                "oci-layout".to_owned(),
                br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec(),
            ),
        ];
        let written = Written {
            digest: digest(&manifest),
            packed: packed.len(),
            unpacked: self.files.iter().map(|file| file.bytes.len()).sum(),
        };
        for bytes in [config, packed, manifest] {
            files.push((blob(&bytes), bytes));
        }
        files.sort();
        let mut builder = Builder::new(Vec::new());
        for (path, bytes) in &files {
            append(&mut builder, path, bytes, 0o644, self.created)?;
        }
        let bytes = builder.into_inner().context("ending the archive")?;
        if let Some(folder) = archive.parent() {
            fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        }
        let mut file = File::create(archive).with_context(|| format!("creating {}", archive.display()))?;
        file.write_all(&bytes)
            .with_context(|| format!("writing {}", archive.display()))?;
        Ok(written)
    }

    /// The files with their folders, in the order of their names.
    fn layer(&self) -> Result<Vec<u8>> {
        let mut files: Vec<&Content<'_>> = self.files.iter().collect();
        files.sort_by_key(|file| file.path);
        let mut folders: Vec<&str> = files
            .iter()
            .flat_map(|file| {
                file.path
                    .match_indices('/')
                    .map(|(end, _)| file.path.split_at(end).0)
            })
            .collect();
        folders.sort_unstable();
        folders.dedup();
        let mut builder = Builder::new(Vec::new());
        for folder in folders {
            let mut header = header(0o755, 0, self.created);
            header.set_entry_type(EntryType::Directory);
            builder
                .append_data(&mut header, format!("{folder}/"), &[][..])
                .with_context(|| format!("adding {folder}"))?;
        }
        for file in files {
            if let Some(capability) = file.capability {
                // As GNU tar, bsdtar, BuildKit and containerd write and read extended attributes.
                builder
                    .append_pax_extensions([("SCHILY.xattr.security.capability", &capability[..])])
                    .context("adding a capability")?;
            }
            append(&mut builder, file.path, &file.bytes, file.mode(), self.created)?;
        }
        builder.into_inner().context("ending the layer")
    }

    fn config(&self, layer: &[u8]) -> Value {
        let labels: Value = self.labels.iter().cloned().collect();
        let created = rfc3339(self.created);
        json!({
            "created": created,
            "architecture": self.architecture,
            "os": "linux",
            "config": {
                "User": USER,
                "Entrypoint": [format!("/{}", self.entrypoint)],
                "Cmd": self.arguments,
                "Labels": labels,
            },
            "rootfs": { "type": "layers", "diff_ids": [digest(layer)] },
            "history": [{ "created": created, "created_by": "cargo xtask image" }],
        })
    }
}

fn append(builder: &mut Builder<Vec<u8>>, path: &str, bytes: &[u8], mode: u32, time: u64) -> Result<()> {
    let mut header = header(mode, bytes.len() as u64, time);
    builder
        .append_data(&mut header, path, bytes)
        .with_context(|| format!("adding {path}"))
}

/// Of root, by number.
fn header(mode: u32, size: u64, time: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(time);
    header.set_size(size);
    header
}

fn compressed(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzBuilder::new()
        .mtime(0)
        .operating_system(UNKNOWN_SYSTEM)
        .write(Vec::new(), Compression::best());
    encoder.write_all(bytes).context("compressing the layer")?;
    encoder.finish().context("compressing the layer")
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": digest(bytes), "size": bytes.len() })
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hash(bytes))
}

fn blob(bytes: &[u8]) -> String {
    format!("blobs/sha256/{}", hash(bytes))
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A moment in the form of RFC 3339, in UTC, from seconds since 1970.
pub(crate) fn rfc3339(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let (mut year, mut day) = (1970, days);
    loop {
        let length = if is_leap(year) { 366 } else { 365 };
        if day < length {
            break;
        }
        day -= length;
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!(
        "{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z",
        day + 1
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read;

    use flate2::read::GzDecoder;
    use tar::Archive;

    use super::*;

    /// The files of an archive, and the extended attributes and times of each.
    fn read(bytes: &[u8]) -> (BTreeMap<String, Vec<u8>>, Vec<String>) {
        let mut files = BTreeMap::new();
        let mut told = Vec::new();
        let mut archive = Archive::new(bytes);
        for entry in archive.entries().expect("entries") {
            let mut entry = entry.expect("an entry");
            let path = entry.path().expect("a path").to_string_lossy().into_owned();
            let attributes: Vec<String> = entry
                .pax_extensions()
                .expect("attributes")
                .into_iter()
                .flatten()
                .map(|one| one.expect("one"))
                .map(|one| format!("{}={:x?}", one.key().expect("a key"), one.value_bytes()))
                .collect();
            let header = entry.header();
            told.push(format!(
                "{path} {:o} {} {attributes:?}",
                header.mode().expect("a mode"),
                header.mtime().expect("a time")
            ));
            let mut content = Vec::new();
            entry.read_to_end(&mut content).expect("content");
            files.insert(path, content);
        }
        (files, told)
    }

    #[test]
    fn an_archive_holds_what_was_given_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let archive = folder.path().join("program.tar");
        let file = |path, bytes: &str, is_program, capability| Content {
            path,
            bytes: bytes.as_bytes().to_vec(),
            is_program,
            capability,
        };
        let files = [
            file("program", "#!", true, Some([1; 20])),
            file("etc/ssl/certs/ca-certificates.crt", "-----BEGIN", false, None),
        ];
        let image = Image {
            name: "localhost/program:1",
            files: &files,
            entrypoint: "program",
            arguments: &["now"],
            architecture: "arm64",
            created: 1_000_000_000,
            labels: &[("org.opencontainers.image.version", "1".to_owned())],
        };
        let written = image.write(&archive).expect("an image");
        assert_eq!(written.unpacked, 12);
        let bytes = fs::read(&archive).expect("an archive");
        assert_eq!(image.write(&archive).expect("an image"), written);
        assert_eq!(
            fs::read(&archive).expect("an archive"),
            bytes,
            "the same bytes again"
        );

        let (outer, _) = read(&bytes);
        let json = |path: &str| -> Value { serde_json::from_slice(&outer[path]).expect("JSON") };
        let blob = |digest: &Value| {
            let digest = digest.as_str().expect("a digest");
            let bytes = &outer[&format!("blobs/{}", digest.replace(':', "/"))];
            assert_eq!(super::digest(bytes), digest);
            bytes.clone()
        };
        let described = &json("index.json")["manifests"][0];
        assert_eq!(described["digest"], written.digest);
        assert_eq!(described["platform"]["architecture"], "arm64");
        assert_eq!(
            described["annotations"]["io.containerd.image.name"],
            "localhost/program:1"
        );
        let manifest: Value = serde_json::from_slice(&blob(&described["digest"])).expect("JSON");
        let layer = blob(&manifest["layers"][0]["digest"]);
        assert_eq!(layer.len(), written.packed);
        let config: Value = serde_json::from_slice(&blob(&manifest["config"]["digest"])).expect("JSON");
        assert_eq!(config["created"], "2001-09-09T01:46:40Z");
        assert_eq!(config["config"]["User"], "65532:65532");
        assert_eq!(config["config"]["Entrypoint"], json!(["/program"]));
        assert_eq!(config["config"]["Cmd"], json!(["now"]));
        assert_eq!(
            config["config"]["Labels"]["org.opencontainers.image.version"],
            "1"
        );
        let docker = &json("manifest.json")[0];
        assert_eq!(docker["RepoTags"], json!(["localhost/program:1"]));
        assert!(outer.contains_key(docker["Config"].as_str().expect("a path")));
        assert!(outer.contains_key(docker["Layers"][0].as_str().expect("a path")));

        let mut tar = Vec::new();
        GzDecoder::new(&layer[..]).read_to_end(&mut tar).expect("gzip");
        assert_eq!(config["rootfs"]["diff_ids"][0], digest(&tar));
        let (_, told) = read(&tar);
        let ones = format!("SCHILY.xattr.security.capability={:x?}", [1; 20]);
        assert_eq!(
            told,
            [
                "etc/ 755 1000000000 []".to_owned(),
                "etc/ssl/ 755 1000000000 []".to_owned(),
                "etc/ssl/certs/ 755 1000000000 []".to_owned(),
                "etc/ssl/certs/ca-certificates.crt 644 1000000000 []".to_owned(),
                format!("program 755 1000000000 [{ones:?}]"),
            ]
        );
    }

    #[test]
    fn moments_are_written_in_utc() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (68_169_600, "1972-02-29T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_798_761_599, "2026-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds), expected);
        }
    }
}
