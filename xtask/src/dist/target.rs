//! The machines that a release is for.

use clap::ValueEnum;

/// Linux on a kind of processor; the programs are static, so that neither libc nor distribution matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Target {
    /// linux/amd64, x86-64
    Amd64,
    /// linux/arm64, AArch64
    Arm64,
}

impl Target {
    /// All of them, in the order in which they are built and listed.
    pub(crate) const ALL: [Self; 2] = [Self::Amd64, Self::Arm64];

    /// The processor, as OCI and Kubernetes call it.
    pub(crate) fn architecture(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// Rust's name.
    pub(crate) fn triple(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-unknown-linux-musl",
            Self::Arm64 => "aarch64-unknown-linux-musl",
        }
    }

    /// Whether this machine runs its programs.
    pub(crate) fn is_here(self) -> bool {
        let processor = match self {
            Self::Amd64 => "x86_64",
            Self::Arm64 => "aarch64",
        };
        std::env::consts::OS == "linux" && std::env::consts::ARCH == processor
    }

    /// The processor in the header of a program (`e_machine` in ELF).
    pub(crate) fn elf_machine(self) -> u16 {
        match self {
            Self::Amd64 => 62,
            Self::Arm64 => 183,
        }
    }
}
