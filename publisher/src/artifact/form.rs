//! Classifies images as Istio's agent does: which accepted shape an image has, and which layer holds the module.
//!
//! The rules are exactly the agent's (`pkg/wasm/imagefetcher.go`); Envoy Gateway and Higress carry the same code. What
//! the agent ignores (config, annotations, artifact type) is ignored here. An error also gives the agent's own message
//! ([`ImageError::istio_says`]), because that is what people search for. What other consumers look at is in
//! [`crate::artifact::consumers`].

use std::io::{self, BufRead, Read};

use clap::ValueEnum;
use oci_distribution::manifest::{
    IMAGE_DOCKER_LAYER_GZIP_MEDIA_TYPE, IMAGE_LAYER_GZIP_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, OciDescriptor,
    OciImageManifest,
};
use serde::Serialize;

use crate::artifact::archive::{MODULE_FILE, Unzipped};
use crate::content;
use crate::module::MAX_SIZE;
use crate::terminal::escape;

/// Media type of the description in the two-layer form.
pub(crate) const SOLO_CONFIG: &str = "application/vnd.module.wasm.config.v1+json";
/// Layer type of a bare module in the two-layer form.
pub(crate) const CONTENT_LAYER: &str = "application/vnd.module.wasm.content.layer.v1+wasm";
/// Config media type of the CNCF's form.
pub(crate) const CNCF_CONFIG: &str = "application/vnd.wasm.config.v0+json";
/// Layer type of the CNCF's form.
pub(crate) const CNCF_LAYER: &str = "application/wasm";

/// How many bytes of a module are given at once.
const PIECE: usize = 64 * 1024;

/// A form in which modules are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Form {
    /// An OCI image whose last layer holds `plugin.wasm`: for Istio, Envoy Gateway, Higress, image tools, image
    /// volumes.
    Oci,
    /// The same as a Docker image, for registries and tools that know no OCI.
    Docker,
    /// Two layers, one of them the bare module: for tools that want the first form of solo.io.
    Solo,
    /// One layer, the bare module: for wkg and others that follow the CNCF's form; no mesh loads it.
    Cncf,
}

impl Form {
    /// A short description for people.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Oci => "oci (plugin.wasm in the last layer of an OCI image, also called compat)",
            Self::Docker => "docker (plugin.wasm in the last layer of a Docker image)",
            Self::Solo => "solo (two layers, one of them the bare module)",
            Self::Cncf => "cncf (one layer, the bare module)",
        }
    }
}

/// Why no module can be extracted from an image.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ImageError {
    /// A Docker manifest whose last layer has another media type.
    #[error("its last layer is `{0}`; in a Docker image a mesh accepts only `{IMAGE_DOCKER_LAYER_GZIP_MEDIA_TYPE}`")]
    DockerLayer(String),
    /// Neither of the two shapes for OCI manifests.
    #[error(
        "no mesh accepts its shape: the last of its layers ({layers}) is `{last}`; wanted is \
            `{IMAGE_LAYER_GZIP_MEDIA_TYPE}` with \
         {MODULE_FILE} inside, or exactly two layers with one `{CONTENT_LAYER}`; publish it again with `faultline push`"
    )]
    Shape {
        /// Number of layers.
        layers: usize,
        /// Media type of the last one.
        last: String,
    },
    /// The archive cannot be read.
    #[error("its layer cannot be unpacked ({0}); publish it again")]
    Archive(String),
    /// The archive ends before the module does.
    #[error(
        "its layer is cut: {MODULE_FILE} has {got} of the {announced} bytes that the archive announces; publish it \
            again"
    )]
    Cut {
        /// Bytes that are there.
        got: u64,
        /// Bytes that the entry's header announces.
        announced: u64,
    },
    /// The archive's entry is not a file.
    #[error("{MODULE_FILE} is {0} in its layer, not a file; publish it again with `faultline push`")]
    NoFile(&'static str),
    /// The archive holds only other files.
    #[error("there is no {MODULE_FILE} in its layer; publish it again with `faultline push`")]
    NoModule,
    /// Larger than the most that a mesh unpacks.
    #[error("its layer unpacks to more than {} MiB, which is the most that a mesh accepts", MAX_SIZE >> 20)]
    TooLarge,
}

impl ImageError {
    /// The message with which Istio's agent reports this, for an image with this many layers.
    pub(crate) fn istio_says(&self, layers: usize) -> String {
        let expect = |got: &str, want: &str| match layers {
            0 => "number of layers must be greater than zero".to_owned(),
            _ => format!("invalid media type {got} (expect {want})"),
        };
        let compat = match self {
            Self::DockerLayer(last) => {
                let why = expect(last, IMAGE_DOCKER_LAYER_GZIP_MEDIA_TYPE);
                return format!("could not extract Wasm file from the image as Docker container {why}");
            }
            Self::Shape { last, .. } => expect(last, IMAGE_LAYER_GZIP_MEDIA_TYPE),
            Self::NoModule => format!("could not extract wasm binary: {MODULE_FILE} not found in the archive"),
            Self::Archive(why) => format!("could not extract wasm binary: failed to parse layer as tar.gz: {why}"),
            Self::Cut { .. } => format!("could not extract wasm binary: failed to read {MODULE_FILE}: unexpected EOF"),
            // The agent reads the entry as a file of no bytes, and refuses these.
            Self::NoFile(_) => return "fetched Wasm binary is invalid".to_owned(),
            Self::TooLarge => "could not extract wasm binary: it exceeds the maximum size".to_owned(),
        };
        let solo = match layers {
            2 => format!("could not find the layer of type {CONTENT_LAYER}"),
            n => format!("number of layers must be 2 but got {n}"),
        };
        format!(
            "the given image is in invalid format as an OCI image: could not parse as compat variant: {compat}; \
             could not parse as oci variant: {solo}"
        )
    }
}

/// Returns the form of an image and the layer that holds its module. The image need not be one that a mesh accepts.
///
/// # Errors
/// When it has none of the known forms.
pub(crate) fn locate(manifest: &OciImageManifest) -> Result<(Form, &OciDescriptor), ImageError> {
    match manifest.layers.as_slice() {
        [layer] if manifest.config.media_type == CNCF_CONFIG && layer.media_type == CNCF_LAYER => {
            Ok((Form::Cncf, layer))
        }
        _ => classify(manifest),
    }
}

/// Returns the form of an image that a mesh accepts and the layer that holds its module.
///
/// # Errors
/// When it has none of the accepted shapes.
pub(crate) fn classify(manifest: &OciImageManifest) -> Result<(Form, &OciDescriptor), ImageError> {
    let last = manifest.layers.last();
    let last_type = last.map_or("none", |layer| layer.media_type.as_str());
    if manifest.media_type.as_deref() == Some(IMAGE_MANIFEST_MEDIA_TYPE) {
        return match last {
            Some(layer) if layer.media_type == IMAGE_DOCKER_LAYER_GZIP_MEDIA_TYPE => Ok((Form::Docker, layer)),
            _ => Err(ImageError::DockerLayer(escape::one_line(last_type))),
        };
    }
    if let Some(layer) = last.filter(|layer| layer.media_type == IMAGE_LAYER_GZIP_MEDIA_TYPE) {
        return Ok((Form::Oci, layer));
    }
    match manifest.layers.iter().find(|layer| layer.media_type == CONTENT_LAYER) {
        Some(layer) if manifest.layers.len() == 2 => Ok((Form::Solo, layer)),
        _ => Err(ImageError::Shape { layers: manifest.layers.len(), last: escape::one_line(last_type) }),
    }
}

/// How what follows the module in its layer reads. A mesh does not look at it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// To the end.
    Complete,
    /// This many bytes follow that are no gzip; they were not read.
    Trailing(u64),
    /// It is damaged, so the archive's checksum does not vouch for the module either.
    Damaged(String),
}

impl Rest {
    /// What to tell people about it, if anything.
    pub(crate) fn remark(&self) -> Option<String> {
        match self {
            Self::Complete => None,
            Self::Trailing(1) => Some("1 byte behind the archive in its layer is no gzip and was not read".to_owned()),
            Self::Trailing(n) => {
                Some(format!("{n} bytes behind the archive in its layer are no gzip and were not read"))
            }
            Self::Damaged(why) => Some(format!("its layer is damaged behind the module ({why}); publish it again")),
        }
    }
}

/// Gives the module in the layer that [`locate`] or [`classify`] returned, in pieces: as Istio's agent does, the first
/// entry of that name. What was given counts only if this succeeds.
///
/// # Errors
/// Those of the closure. That the layer is damaged, too large, or holds no module is the inner error.
pub(crate) fn extract(
    form: Form,
    layer: impl BufRead,
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<Result<Rest, ImageError>> {
    if matches!(form, Form::Solo | Form::Cncf) {
        return content::each(layer, take).map(|()| Ok(Rest::Complete));
    }
    let mut unzipped = Unzipped::new(layer, MAX_SIZE);
    let found = find_module(&mut unzipped, &mut take)?;
    Ok(match found {
        Err(_) if unzipped.exceeded() => Err(ImageError::TooLarge),
        Err(error) => Err(error),
        Ok(()) => Ok(match io::copy(&mut unzipped, &mut io::sink()) {
            Err(error) => Rest::Damaged(error.to_string()),
            Ok(_) if unzipped.trailing() > 0 => Rest::Trailing(unzipped.trailing()),
            Ok(_) => Rest::Complete,
        }),
    })
}

fn find_module(
    unzipped: &mut Unzipped<impl BufRead>,
    take: &mut impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<Result<(), ImageError>> {
    let mut archive = tar::Archive::new(unzipped);
    let mut entry = match module_entry(&mut archive) {
        Ok(entry) => entry,
        Err(error) => return Ok(Err(error)),
    };
    let announced = entry.size();
    if announced > MAX_SIZE {
        return Ok(Err(ImageError::TooLarge));
    }
    let mut piece = vec![0; PIECE];
    let mut got = 0;
    loop {
        match entry.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => {
                take(&piece[..read])?;
                got += read as u64;
            }
            Err(error) => return Ok(Err(ImageError::Archive(error.to_string()))),
        }
    }
    Ok(if got < announced { Err(ImageError::Cut { got, announced }) } else { Ok(()) })
}

/// The entry of the archive that is the module.
fn module_entry<R: Read>(archive: &mut tar::Archive<R>) -> Result<tar::Entry<'_, R>, ImageError> {
    let damaged = |error: io::Error| ImageError::Archive(error.to_string());
    for entry in archive.entries().map_err(damaged)? {
        let entry = entry.map_err(damaged)?;
        if entry.path().map_err(damaged)?.file_name() != Some(MODULE_FILE.as_ref()) {
            continue;
        }
        return match other_than_a_file(entry.header().entry_type()) {
            Some(kind) => Err(ImageError::NoFile(kind)),
            None => Ok(entry),
        };
    }
    Err(ImageError::NoModule)
}

/// What an entry of an archive is, in words; `None` for a file.
fn other_than_a_file(kind: tar::EntryType) -> Option<&'static str> {
    match kind {
        tar::EntryType::Regular | tar::EntryType::Continuous | tar::EntryType::GNUSparse => None,
        tar::EntryType::Symlink => Some("a symbolic link"),
        tar::EntryType::Link => Some("a link to another file"),
        tar::EntryType::Directory => Some("a directory"),
        _ => Some("a device or the like"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::archive::parts::{gzip, tar};

    fn manifest(media_type: Option<&str>, layers: &[&str]) -> OciImageManifest {
        let layer =
            |media_type: &&str| OciDescriptor { media_type: (*media_type).to_owned(), ..OciDescriptor::default() };
        OciImageManifest {
            media_type: media_type.map(str::to_owned),
            layers: layers.iter().map(layer).collect(),
            ..OciImageManifest::default()
        }
    }

    fn form(media_type: Option<&str>, layers: &[&str]) -> Result<Form, ImageError> {
        classify(&manifest(media_type, layers)).map(|(form, _)| form)
    }

    #[test]
    fn the_three_accepted_shapes_are_told_apart() {
        let (docker, compat) = (IMAGE_DOCKER_LAYER_GZIP_MEDIA_TYPE, IMAGE_LAYER_GZIP_MEDIA_TYPE);
        assert_eq!(form(Some(IMAGE_MANIFEST_MEDIA_TYPE), &["x", docker]), Ok(Form::Docker));
        assert_eq!(form(None, &["x", "y", compat]), Ok(Form::Oci));
        assert_eq!(form(None, &[CONTENT_LAYER, "x"]), Ok(Form::Solo));
    }

    #[test]
    fn other_shapes_are_refused_as_a_mesh_refuses_them() {
        let zstd = "application/vnd.oci.image.layer.v1.tar+zstd";
        assert_eq!(form(Some(IMAGE_MANIFEST_MEDIA_TYPE), &[zstd]), Err(ImageError::DockerLayer(zstd.into())));
        for layers in [&["application/wasm"][..], &[CONTENT_LAYER], &[CONTENT_LAYER, "x", "y"], &[zstd], &[]] {
            assert!(matches!(form(None, layers), Err(ImageError::Shape { layers: n, .. }) if n == layers.len()));
        }
    }

    /// A module, and how what follows it reads.
    fn extract(form: Form, layer: Vec<u8>) -> Result<(Vec<u8>, Rest), ImageError> {
        let mut module = Vec::new();
        let rest = super::extract(form, layer.as_slice(), |piece| {
            module.extend_from_slice(piece);
            Ok(())
        });
        rest.expect("memory can be written to").map(|rest| (module, rest))
    }

    fn module_of(layer: Vec<u8>) -> Vec<u8> {
        let (module, rest) = extract(Form::Oci, layer).expect("it is well");
        assert_eq!(rest, Rest::Complete);
        module
    }

    #[test]
    fn what_was_packed_comes_out_again() {
        let layer = gzip(&tar(b"\0asm the module"));
        assert_eq!(module_of(layer.clone()), b"\0asm the module");
        assert_eq!(extract(Form::Solo, b"bare".to_vec()).unwrap().0, b"bare");
        let half = layer[..layer.len() / 2].to_vec();
        assert!(matches!(extract(Form::Docker, half), Err(ImageError::Archive(_))));
        assert!(matches!(extract(Form::Oci, b"no gzip".to_vec()), Err(ImageError::Archive(_))));
    }

    #[test]
    fn a_layer_may_have_several_members_of_gzip() {
        let module = b"\0asm a module".repeat(1000);
        let tar = tar(&module);
        for cuts in [vec![512], vec![700, 900], vec![1], vec![tar.len() - 1024]] {
            let mut layer = Vec::new();
            let ends = cuts.iter().copied().chain([tar.len()]);
            let starts = [0].into_iter().chain(cuts.iter().copied());
            for (start, end) in starts.zip(ends) {
                layer.extend(gzip(&tar[start..end]));
                layer.extend(gzip(b""));
            }
            assert!(module_of(layer) == module, "{cuts:?}");
        }
    }

    #[test]
    fn what_follows_the_module_and_cannot_be_read_is_told() {
        let layer = gzip(&tar(b"\0asm the module"));
        let rest = |layer: Vec<u8>| extract(Form::Oci, layer).expect("the module is whole").1;
        assert_eq!(rest([&layer[..], b"garbage"].concat()), Rest::Trailing(7));
        assert_eq!(rest([&layer[..], &[0; 100]].concat()), Rest::Trailing(100));
        // The last eight bytes are the checksum and the length.
        let mut damaged = layer.clone();
        let at = damaged.len() - 6;
        damaged[at] ^= 1;
        assert!(matches!(rest(damaged), Rest::Damaged(_)));
        assert!(matches!(rest(layer[..layer.len() - 4].to_vec()), Rest::Damaged(_)));
    }

    #[test]
    fn a_module_that_is_cut_or_no_file_is_none() {
        let tar = tar(&[7; 5000]);
        let cut = extract(Form::Oci, gzip(&tar[..1512]));
        assert_eq!(cut, Err(ImageError::Cut { got: 1000, announced: 5000 }));
        for (kind, words) in [
            (tar::EntryType::Symlink, "a symbolic link"),
            (tar::EntryType::Link, "a link to another file"),
            (tar::EntryType::Directory, "a directory"),
            (tar::EntryType::Fifo, "a device or the like"),
        ] {
            let mut header = tar::Header::new_ustar();
            header.set_path("plugin.wasm").unwrap();
            header.set_entry_type(kind);
            header.set_size(0);
            header.set_cksum();
            let mut archive = tar::Builder::new(Vec::new());
            archive.append(&header, &[][..]).unwrap();
            let layer = gzip(&archive.into_inner().unwrap());
            assert_eq!(extract(Form::Oci, layer), Err(ImageError::NoFile(words)));
        }
    }

    #[test]
    fn a_layer_that_unpacks_to_too_much_is_given_up() {
        let mut header = tar::Header::new_ustar();
        header.set_path("filler").unwrap();
        header.set_size(MAX_SIZE + 1);
        header.set_cksum();
        // Compressed in parts, so that the test needs little memory.
        let zeros = gzip(&vec![0; 1 << 20]);
        let mut layer = gzip(header.as_bytes());
        (0..=256).for_each(|_| layer.extend(&zeros));
        assert_eq!(extract(Form::Oci, layer), Err(ImageError::TooLarge));
    }
}
