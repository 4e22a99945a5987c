//! A plugin of any size for the bench: a little code, and data segments that cannot be compressed.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Result;

/// The size of a data segment in bytes.
const SEGMENT: usize = 1 << 16;

/// Writes a module with this many bytes of data, in pieces. The same size gives the same bytes.
pub(crate) fn write(path: &Path, size: usize) -> Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    let types = [&[2][..], &[0x60, 0, 0], &[0x60, 1, 0x7f, 1, 0x7f]].concat();
    let memory = [&[1, 0][..], &leb(size / 65_536 + 2)].concat();
    let exports =
        [&[3][..], &export("memory", 2, 0), &export("proxy_abi_version_0_2_1", 0, 0), &export("malloc", 0, 1)];
    let code = [&[2][..], &[2, 0, 0x0b], &[4, 0, 0x41, 0, 0x0b]].concat();
    file.write_all(b"\0asm\x01\0\0\0")?;
    for (id, content) in [(1, types), (3, vec![2, 0, 1]), (5, memory), (7, exports.concat()), (10, code)] {
        file.write_all(&section(id, content.len()))?;
        file.write_all(&content)?;
    }
    let segments: Vec<usize> = (0..size.div_ceil(SEGMENT)).map(|n| SEGMENT.min(size - n * SEGMENT)).collect();
    let header = |size: usize| [&[0, 0x41, 0, 0x0b][..], &leb(size)].concat();
    let count = leb(segments.len());
    let content: usize = segments.iter().map(|size| header(*size).len() + size).sum();
    file.write_all(&section(11, count.len() + content))?;
    file.write_all(&count)?;
    let mut random = fastrand::Rng::with_seed(1);
    for size in segments {
        let mut bytes = vec![0; size];
        random.fill(&mut bytes);
        file.write_all(&header(size))?;
        file.write_all(&bytes)?;
    }
    Ok(file.flush()?)
}

/// The beginning of a section.
fn section(id: u8, size: usize) -> Vec<u8> {
    [&[id][..], &leb(size)].concat()
}

fn export(name: &str, kind: u8, index: u8) -> Vec<u8> {
    [&leb(name.len())[..], name.as_bytes(), &[kind, index]].concat()
}

/// A number as WebAssembly writes it (LEB128).
fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 0x7f {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}
