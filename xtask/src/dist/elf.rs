//! Looks into a program that was built: for which processor it is, and whether it is static.

use anyhow::{Context, Result, bail, ensure};

use super::target::Target;

/// The kind of program header that names a dynamic loader (`PT_INTERP`).
const INTERPRETER: u32 = 3;

/// Makes sure that a program runs on `target` and needs nothing there: no loader, and so no library.
///
/// # Errors
/// If it is no such program.
pub(crate) fn check(program: &[u8], target: Target) -> Result<()> {
    // 64 bits, little endian: System V ABI, chapters 4 and 5.
    ensure!(program.starts_with(b"\x7fELF\x02\x01"), "is not a program for 64-bit Linux");
    let machine = number(program, 18, 2)?;
    ensure!(
        machine == u64::from(target.elf_machine()),
        "is for another processor ({machine}) than {}",
        target.architecture()
    );
    let (table, size, count) = (number(program, 32, 8)?, number(program, 54, 2)?, number(program, 56, 2)?);
    for index in 0..count {
        if number(program, table + index * size, 4)? == u64::from(INTERPRETER) {
            bail!("is not static: it names a dynamic loader");
        }
    }
    Ok(())
}

/// The number of `length` bytes at `at`, least significant first.
fn number(bytes: &[u8], at: u64, length: usize) -> Result<u64> {
    let start = usize::try_from(at)?;
    let end = start.checked_add(length).context("is cut off")?;
    let bytes = bytes.get(start..end).context("is cut off")?;
    Ok(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header with one program header of this kind.
    fn program(machine: u16, kind: u32) -> Vec<u8> {
        let mut bytes = b"\x7fELF\x02\x01".to_vec();
        bytes.resize(64 + 56, 0);
        bytes[18..20].copy_from_slice(&machine.to_le_bytes());
        bytes[32] = 64;
        bytes[54] = 56;
        bytes[56] = 1;
        bytes[64..68].copy_from_slice(&kind.to_le_bytes());
        bytes
    }

    #[test]
    fn a_program_that_wants_a_loader_or_another_processor_is_not_shipped() {
        check(&program(62, 1), Target::Amd64).unwrap();
        check(&program(183, 1), Target::Arm64).unwrap();
        let said = |program: &[u8], target| check(program, target).unwrap_err().to_string();
        assert!(said(&program(62, 3), Target::Amd64).contains("not static"));
        assert!(said(&program(62, 1), Target::Arm64).contains("another processor"));
        assert!(said(b"#!/bin/sh", Target::Amd64).contains("not a program"));
        assert!(said(&program(62, 1)[..50], Target::Amd64).contains("cut off"));
    }
}
