//! Fingerprints: what makes two certificates, keys or authorities the same.

use aws_lc_rs::digest::{Context, SHA256};

/// SHA-256 of something.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Digest([u8; 32]);

impl Digest {
    /// Of one run of bytes: the usual fingerprint of a certificate.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(bytes);
        Self::finish(context)
    }

    /// Of a list; `["ab", "c"]` and `["a", "bc"]` differ.
    pub(crate) fn of_all<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut context = Context::new(&SHA256);
        for part in parts {
            context.update(&part.len().to_be_bytes());
            context.update(part);
        }
        Self::finish(context)
    }

    fn finish(context: Context) -> Self {
        #[cfg(test)]
        crate::counted::note(|work| work.hashed += 1);
        let mut bytes = [0; 32];
        for (place, byte) in bytes.iter_mut().zip(context.finish().as_ref()) {
            *place = *byte;
        }
        Self(bytes)
    }
}

/// Lower-case hexadecimal.
impl std::fmt::Display for Digest {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

/// The beginning is enough to distinguish two, and no digest of a key belongs in a log.
impl std::fmt::Debug for Digest {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0
            .iter()
            .take(4)
            .try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}
