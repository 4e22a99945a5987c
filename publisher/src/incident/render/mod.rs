//! Lays the view model out: as text for a terminal, as JSON for programs, as a page with pictures for a browser; and
//! what `faultline watch` shows, line by line. Words are not made here, only placed, cut to fit and made harmless.

pub(crate) mod json;
mod markup;
pub(crate) mod page;
pub(crate) mod paint;
mod picture;
mod scale;
pub(crate) mod screen;
pub(crate) mod text;
