//! The bits of `response.flags`, Envoy's mask of what went wrong with a request.

/// The bits of `response.flags`, named by the letters in Envoy's access log.
pub struct Flags;

#[expect(missing_docs, reason = "Envoy's access log documentation explains the letters")]
impl Flags {
    pub const LH: i64 = 1;
    pub const UH: i64 = 1 << 1;
    pub const UT: i64 = 1 << 2;
    pub const LR: i64 = 1 << 3;
    pub const UR: i64 = 1 << 4;
    pub const UF: i64 = 1 << 5;
    pub const UC: i64 = 1 << 6;
    pub const UO: i64 = 1 << 7;
    pub const NR: i64 = 1 << 8;
    pub const DC: i64 = 1 << 14;
    pub const URX: i64 = 1 << 15;
    pub const UMSDR: i64 = 1 << 19;
    pub const UPE: i64 = 1 << 23;
    pub const NC: i64 = 1 << 24;
    pub const OM: i64 = 1 << 25;
}
