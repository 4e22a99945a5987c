//! Reads a module as it comes, in pieces, in little memory whatever its size.
//!
//! Only what is being looked at is kept: a section, or a function of the code. Whether a module is valid depends
//! neither on custom sections nor on the bytes of data segments, so these are passed over; the parser gets the data
//! section without them. What is wrong with a module is found as if it had been read whole.

use wasmparser::{
    BinaryReader, BinaryReaderError, Chunk, ConstExpr, ExternalKind, FuncValidatorAllocations, Parser, Payload,
    ValidPayload, Validator, WasmFeatures,
};

use super::{Found, HEADER, MAX_SIZE, Module, ModuleError, build_info, looks_like};

/// The most bytes of the beginning that are kept to tell what something is that is no module.
const HEAD: usize = 512;

/// The most bytes of a custom section in which its name is looked for, and the most bytes of the one that is read.
const MOST_NAME: usize = 1024;
const MOST_CUSTOM: u32 = 1024 * 1024;

/// The most data segments that a module may have, and the most bytes that one has before its content.
const MOST_SEGMENTS: u32 = 100_000;
const MOST_SEGMENT_HEADER: usize = 64 * 1024;

/// The numbers of the sections that are not handed to the parser as they are.
const CUSTOM: u8 = 0;
const DATA: u8 = 11;

/// A module that is being read.
pub(crate) struct Scan {
    size: u64,
    head: Vec<u8>,
    sections: Sections,
    fault: Option<Fault>,
}

/// What was read.
pub(crate) struct Scanned {
    /// The module, or why it is none.
    pub(crate) module: Result<Module, ModuleError>,
    /// Its size in bytes.
    pub(crate) size: u64,
}

/// Why reading ended.
enum Fault {
    /// The bytes did.
    Cut,
    /// It breaks a rule, at this byte.
    Invalid(BinaryReaderError, usize),
}

impl Scan {
    /// Nothing is read yet.
    pub(crate) fn new() -> Self {
        Self { size: 0, head: Vec::new(), sections: Sections::new(), fault: None }
    }

    /// Reads on.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        let wanted = HEAD.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..wanted]);
        if self.fault.is_none() {
            self.fault = self.sections.push(bytes).err();
        }
    }

    /// That was all.
    pub(crate) fn finish(self) -> Scanned {
        let Self { size, head, sections, fault } = self;
        let bytes = usize::try_from(size).unwrap_or(usize::MAX);
        let module = if size == 0 {
            Err(ModuleError::Empty)
        } else if size > MAX_SIZE {
            Err(ModuleError::TooLarge(bytes))
        } else if !head.starts_with(&HEADER[..4]) {
            Err(ModuleError::NotWasm(looks_like(&head)))
        } else if head.len() < HEADER.len() {
            Err(ModuleError::Truncated(bytes))
        } else if Parser::is_component(&head) {
            Err(ModuleError::Component)
        } else {
            fault.map_or_else(|| sections.finish(), Err).map_err(|fault| match fault {
                Fault::Cut => ModuleError::Truncated(bytes),
                Fault::Invalid(error, _) if error.message().contains("unexpected end") => ModuleError::Truncated(bytes),
                Fault::Invalid(error, offset) => ModuleError::Invalid { offset, message: error.message().to_owned() },
            })
        };
        Scanned { module, size }
    }
}

/// The sections of a module.
struct Sections {
    parser: Parser,
    /// What is read and not yet parsed begins at `at`.
    buffer: Vec<u8>,
    at: usize,
    /// How many bytes must be there before parsing is tried again.
    wanted: usize,
    /// How many bytes are passed over.
    skip: u64,
    /// The data section, while it is read.
    data: Option<DataSection>,
    /// How many bytes the parser has not seen, by which its offsets are wrong.
    unseen: usize,
    /// Whether the parser is behind the header.
    begun: bool,
    /// How many functions of the code section are to come.
    functions: u32,
    reading: Reading,
}

/// What is done next.
enum Next {
    /// Wait for more bytes.
    Wait,
    /// Go on behind this many bytes, and pass over these.
    Pass(usize, u64),
    /// Hand this data section to the parser, and pass over these bytes.
    Data(Vec<u8>, u64),
    /// Let the parser read.
    Parse,
    /// It breaks a rule.
    Broken(BinaryReaderError),
}

impl Sections {
    fn new() -> Self {
        Self {
            parser: Parser::new(0),
            buffer: Vec::new(),
            at: 0,
            wanted: 0,
            skip: 0,
            data: None,
            unseen: 0,
            begun: false,
            functions: 0,
            reading: Reading::new(),
        }
    }

    fn push(&mut self, mut bytes: &[u8]) -> Result<(), Fault> {
        self.buffer.drain(..self.at);
        self.at = 0;
        if self.buffer.is_empty() {
            let passed = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
            bytes = &bytes[passed..];
            self.skip -= passed as u64;
        }
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() < self.wanted { Ok(()) } else { self.advance(false) }
    }

    fn finish(mut self) -> Result<Module, Fault> {
        self.advance(true)?;
        Ok(self.reading.found.into_module())
    }

    /// Reads as much as is there; with `end`, nothing more will come.
    fn advance(&mut self, end: bool) -> Result<(), Fault> {
        loop {
            let there = self.buffer.len() - self.at;
            let passed = usize::try_from(self.skip).unwrap_or(usize::MAX).min(there);
            self.at += passed;
            self.skip -= passed as u64;
            if self.skip > 0 {
                return if end { Err(Fault::Cut) } else { Ok(()) };
            }
            match self.next() {
                // The parser finds what is wrong with what is too short.
                Next::Wait if end && self.data.is_none() => {}
                Next::Wait => return if end { Err(Fault::Cut) } else { Ok(()) },
                Next::Pass(behind, skip) => {
                    self.at += behind;
                    self.skip = skip;
                    continue;
                }
                Next::Data(section, skip) => {
                    self.data = None;
                    self.skip = skip;
                    self.unseen += usize::try_from(skip).unwrap_or(usize::MAX);
                    self.parse_data(&section)?;
                    continue;
                }
                Next::Broken(error) => return Err(invalid(error, self.unseen)),
                Next::Parse => {}
            }
            let bytes = self.buffer.get(self.at..).unwrap_or_default();
            let payload = match self.parser.parse(bytes, end) {
                Ok(Chunk::NeedMoreData(more)) => {
                    self.wanted = bytes.len().saturating_add(usize::try_from(more).unwrap_or(usize::MAX));
                    return Ok(());
                }
                Ok(Chunk::Parsed { consumed, payload }) => {
                    self.at += consumed;
                    self.wanted = 0;
                    payload
                }
                Err(error) => return Err(invalid(error, self.unseen)),
            };
            match payload {
                Payload::Version { .. } => self.begun = true,
                Payload::CodeSectionStart { count, .. } => self.functions = count,
                Payload::CodeSectionEntry(_) => self.functions -= 1,
                _ => {}
            }
            let is_end = matches!(payload, Payload::End(_));
            self.reading.take(&payload).map_err(|error| invalid(error, self.unseen))?;
            if is_end {
                return Ok(());
            }
        }
    }

    /// What to do with the bytes that are there.
    fn next(&mut self) -> Next {
        let bytes = self.buffer.get(self.at..).unwrap_or_default();
        if let Some(data) = &mut self.data {
            let next = data.next(bytes);
            if let Next::Pass(behind, skip) = next {
                self.unseen += behind.saturating_add(usize::try_from(skip).unwrap_or(usize::MAX));
            }
            return next;
        }
        let at_a_section = self.begun && self.functions == 0;
        let Some(id @ (CUSTOM | DATA)) = bytes.first().copied().filter(|_| at_a_section) else { return Next::Parse };
        let mut reader = BinaryReader::new(bytes, 0);
        let size = match reader.read_u8().and_then(|_| reader.read_var_u32()) {
            Ok(size) => size,
            Err(_) if bytes.len() < 6 => return Next::Wait,
            Err(_) => return Next::Parse,
        };
        let header = reader.original_position();
        if id == DATA {
            self.unseen += header;
            self.data = Some(DataSection::new(size));
            return Next::Pass(header, 0);
        }
        let wanted = MOST_NAME.min(usize::try_from(size).unwrap_or(usize::MAX));
        let Some(begin) = bytes.get(header..header + wanted) else { return Next::Wait };
        let offset = usize::try_from(self.parser.offset()).unwrap_or(usize::MAX).saturating_add(header);
        let mut reader = BinaryReader::new(begin, offset);
        let is_whole = u64::from(size) <= MOST_NAME as u64;
        let length = reader.clone().read_var_u32().unwrap_or(size);
        match reader.read_string() {
            Ok(name) if name == build_info::SECTION && size <= MOST_CUSTOM => return Next::Parse,
            Err(_) if is_whole => return Next::Parse,
            Err(error) if length >= size || (length as usize) < MOST_NAME / 2 => return Next::Broken(error),
            // A name that is longer than what was read is none of ours.
            _ => {}
        }
        self.unseen += header.saturating_add(usize::try_from(size).unwrap_or(usize::MAX));
        Next::Pass(header, u64::from(size))
    }

    /// Hands the parser a data section whose segments are empty.
    fn parse_data(&mut self, section: &[u8]) -> Result<(), Fault> {
        // It counts from where the parser is; the difference is what it does not see.
        let mut whole = vec![DATA];
        let mut size = section.len();
        while size > 0x7f {
            whole.push((size & 0x7f) as u8 | 0x80);
            size >>= 7;
        }
        whole.push(size as u8);
        whole.extend_from_slice(section);
        self.unseen = self.unseen.saturating_sub(whole.len());
        match self.parser.parse(&whole, true) {
            Ok(Chunk::Parsed { payload, .. }) => {
                self.reading.take(&payload).map_err(|error| invalid(error, self.unseen))
            }
            Ok(Chunk::NeedMoreData(_)) => Err(Fault::Cut),
            Err(error) => Err(invalid(error, self.unseen)),
        }
    }
}

fn invalid(error: BinaryReaderError, unseen: usize) -> Fault {
    let offset = error.offset() + unseen;
    Fault::Invalid(error, offset)
}

/// A data section, of which the contents of the segments are passed over.
struct DataSection {
    /// How many of its bytes are to come.
    left: u64,
    /// How many segments are to come, once that is known.
    segments: Option<u32>,
    /// The section with empty segments.
    reduced: Vec<u8>,
}

impl DataSection {
    fn new(size: u32) -> Self {
        Self { left: u64::from(size), segments: None, reduced: Vec::new() }
    }

    /// What to do with the bytes that are there. What is wrong is left to the parser to find.
    fn next(&mut self, bytes: &[u8]) -> Next {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let bytes = &bytes[..bytes.len().min(most)];
        let is_short = bytes.len() < most && bytes.len() < MOST_SEGMENT_HEADER;
        let mut reader = BinaryReader::new(bytes, 0);
        let Some(segments) = self.segments else {
            let Ok(segments) = reader.read_var_u32() else {
                return if is_short && bytes.len() < 5 { Next::Wait } else { self.end(bytes) };
            };
            let read = reader.original_position();
            self.segments = Some(segments);
            self.reduced.extend_from_slice(&bytes[..read]);
            self.left -= read as u64;
            return Next::Pass(read, 0);
        };
        if segments == 0 || segments > MOST_SEGMENTS {
            // A byte too many stays one.
            return self.end(if self.left > 0 { &[0] } else { &[] });
        }
        let Ok((before, size)) = segment(&mut reader) else {
            return if is_short { Next::Wait } else { self.end(bytes) };
        };
        let read = reader.original_position();
        let left = self.left - read as u64;
        if u64::from(size) > left {
            return self.end(&bytes[..read]);
        }
        self.reduced.extend_from_slice(&bytes[..before]);
        self.reduced.push(0);
        self.segments = Some(segments - 1);
        self.left = left - u64::from(size);
        Next::Pass(read, u64::from(size))
    }

    fn end(&mut self, rest: &[u8]) -> Next {
        self.reduced.extend_from_slice(rest);
        Next::Data(std::mem::take(&mut self.reduced), self.left)
    }
}

/// Reads a segment up to its content. Returns where the size of that is, and the size.
fn segment(reader: &mut BinaryReader<'_>) -> Result<(usize, u32), BinaryReaderError> {
    match reader.read_var_u32()? {
        0 => {
            reader.read::<ConstExpr<'_>>()?;
        }
        2 => {
            reader.read_var_u32()?;
            reader.read::<ConstExpr<'_>>()?;
        }
        // Passive; others are refused by the parser.
        _ => {}
    }
    let before = reader.original_position();
    Ok((before, reader.read_var_u32()?))
}

/// What the parser found, checked.
struct Reading {
    validator: Validator,
    allocations: FuncValidatorAllocations,
    found: Found,
}

impl Reading {
    fn new() -> Self {
        let validator = Validator::new_with_features(WasmFeatures::default());
        Self { validator, allocations: FuncValidatorAllocations::default(), found: Found::default() }
    }

    fn take(&mut self, payload: &Payload<'_>) -> Result<(), BinaryReaderError> {
        if let ValidPayload::Func(function, body) = self.validator.payload(payload)? {
            let mut validator = function.into_validator(std::mem::take(&mut self.allocations));
            validator.validate(&body)?;
            self.allocations = validator.into_allocations();
        }
        match payload {
            Payload::ImportSection(section) => {
                for import in section.clone().into_imports() {
                    let import = import?;
                    self.found.imports.push((import.module.to_owned(), import.name.to_owned(), import.ty));
                }
            }
            Payload::ExportSection(section) => {
                for export in section.clone() {
                    let export = export?;
                    match export.kind {
                        ExternalKind::Func => self.found.functions.push(export.name.to_owned()),
                        ExternalKind::Memory => self.found.has_memory = true,
                        _ => {}
                    }
                    self.found.exports.push(export.name.to_owned());
                }
            }
            Payload::CustomSection(section) if section.name() == build_info::SECTION => {
                self.found.build = serde_json::from_slice(section.data()).ok();
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scanned(bytes: &[u8], piece: usize) -> Result<Module, ModuleError> {
        let mut scan = Scan::new();
        bytes.chunks(piece).for_each(|piece| scan.push(piece));
        let scanned = scan.finish();
        assert_eq!(scanned.size, bytes.len() as u64);
        scanned.module
    }

    /// A module with every kind of section that is passed over.
    fn module() -> Vec<u8> {
        let build = r#"{\"name\":\"faultline\",\"version\":\"1.2.3\",\"licenses\":\"MIT\",\"configSchema\":1}"#;
        let long = "n".repeat(100);
        wat::parse_str(format!(
            r#"(module (import "env" "proxy_log" (func (param i32 i32 i32) (result i32)))
                 (global i32 (i32.const 5)) (memory (export "memory") 1)
                 (@custom "first" (before import) "bytes") (@custom "{long}" "of a long name")
                 (@custom "long" "{}")
                 (data (i32.const 0) "0123456789") (data "passive") (data (memory 0) (offset global.get 0) "")
                 (func (export "proxy_abi_version_0_2_1"))
                 (func (export "malloc") (param i32) (result i32) (data.drop 1) (i32.const 0))
                 (@custom "io.faultline" "{build}"))"#,
            "b".repeat(2 * MOST_NAME)
        ))
        .unwrap()
    }

    #[test]
    fn the_size_of_the_pieces_changes_nothing() {
        let bytes = module();
        let whole = scanned(&bytes, bytes.len()).unwrap();
        assert!(whole.build.is_some() && whole.startable().is_ok());
        for piece in 1..100 {
            assert_eq!(scanned(&bytes, piece).as_ref(), Ok(&whole), "{piece}");
        }
    }

    #[test]
    fn what_is_valid_is_what_the_parser_takes_whole() {
        let bytes = module();
        // What is within the long section changes nothing.
        for at in (8..bytes.len()).filter(|at| bytes[at - 8..*at] != *b"bbbbbbbb") {
            for change in [0, 1, 2, 0x40, 0x7f, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] ^= change;
                let valid = Validator::new_with_features(WasmFeatures::default()).validate_all(&changed).err();
                for piece in [3, bytes.len()] {
                    let read = scanned(&changed, piece);
                    assert_eq!(read.is_ok(), valid.is_none(), "byte {at} ^ {change}, {piece}: {read:?} {valid:?}");
                }
            }
        }
    }

    #[test]
    fn an_error_is_where_it_is_in_the_whole() {
        let mut bytes = module();
        // A section of an unknown kind at the end, behind all that was passed over.
        let end = bytes.len();
        bytes.extend([0x3f, 1, 0]);
        let Err(ModuleError::Invalid { offset, .. }) = scanned(&bytes, 5) else { panic!("it is invalid") };
        assert!((end..=bytes.len()).contains(&offset), "{offset} {end}");
    }
}
