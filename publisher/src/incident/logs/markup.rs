//! HTML and XML: what a page of a log store is when it is saved or pasted, and what some programs export.
//!
//! A row of a table is a record, as is an element of XML whose children are texts. All else is text by lines.

use std::io::{self, BufRead};

use memchr::{memchr_iter, memmem};

use super::columns;

/// As much of a text is looked at to tell its form.
const SNIFFED_BYTES: usize = 1 << 16;

/// A longer tag is none.
const MAX_TAG_BYTES: usize = 1 << 16;

/// Elements that begin or end a line of text, where they are in no cell.
const LINES: [&str; 14] = ["br", "p", "div", "li", "ul", "pre", "code", "hr", "h1", "h2", "h3", "tr", "td", "body"];

/// What a text holds.
#[derive(Debug)]
pub(super) enum Piece {
    /// Texts under their names.
    Row(Vec<(String, String)>),
    /// A line of text that is in no row.
    Line(String),
}

/// What takes pieces in, with the lines that they were; false when it wants no more.
pub(super) type Sink<'s> = dyn FnMut(Piece, u64) -> bool + 's;

/// Whether a text begins as HTML or XML does, and has elements that end.
pub(super) fn is_markup(begin: &[u8]) -> bool {
    let begin = begin.get(..begin.len().min(SNIFFED_BYTES)).unwrap_or_default().trim_ascii_start();
    let Some(rest) = begin.strip_prefix(b"<") else { return false };
    let name = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let is_tag = name > 0 && rest.get(name).is_some_and(|byte| b" >\n\r\t/".contains(byte));
    let is_document = [&b"!doctype"[..], b"!--", b"?xml"]
        .iter()
        .any(|word| rest.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word)));
    is_document || is_tag && memmem::find(begin, b"</").is_some()
}

/// Whether the elements are those of a page.
fn is_page(begin: &[u8]) -> bool {
    let begin = begin.get(..begin.len().min(SNIFFED_BYTES)).unwrap_or_default().to_ascii_lowercase();
    [&b"<html"[..], b"<!doctype html", b"<table", b"<div", b"<pre", b"<body", b"<span", b"<ul", b"<p>", b"<code"]
        .iter()
        .any(|tag| memmem::find(&begin, tag).is_some())
}

/// Gives the sink every row and line; false from it ends the reading.
///
/// # Errors
/// Those of reading.
pub(super) fn each(mut text: impl BufRead, sink: &mut Sink<'_>) -> io::Result<()> {
    let mut page = Page { is_page: is_page(text.fill_buf()?), ..Page::default() };
    loop {
        let mut bytes = Vec::new();
        text.read_until(b'<', &mut bytes)?;
        page.lines += memchr_iter(b'\n', &bytes).count() as u64;
        let ended = bytes.pop_if(|byte| *byte == b'<').is_none();
        page.text(&unescaped(&String::from_utf8_lossy(&bytes)));
        if !ended {
            let tag = tag(&mut text)?;
            page.lines += memchr_iter(b'\n', tag.as_bytes()).count() as u64;
            match (tag.strip_prefix("![CDATA["), tag.starts_with(['!', '?'])) {
                (Some(plain), _) => page.text(plain.strip_suffix("]]").unwrap_or(plain)),
                (None, true) => {}
                _ if tag.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/') => page.tag(&tag),
                _ => page.text(&format!("<{tag}>")),
            }
        } else {
            page.end_line();
            page.end_row();
        }
        for piece in std::mem::take(&mut page.pieces) {
            if !sink(piece, std::mem::take(&mut page.lines)) {
                return Ok(());
            }
        }
        if ended {
            return Ok(());
        }
    }
}

/// What stands between the angle brackets. What is quoted, a comment and plain text may hold brackets themselves.
fn tag(text: &mut impl BufRead) -> io::Result<String> {
    let mut tag = Vec::new();
    loop {
        if text.read_until(b'>', &mut tag)? == 0 || tag.len() > MAX_TAG_BYTES && !tag.starts_with(b"![CDATA[") {
            break;
        }
        let is_whole = if tag.starts_with(b"![CDATA[") {
            tag.ends_with(b"]]>")
        } else if tag.starts_with(b"!--") {
            tag.ends_with(b"-->")
        } else {
            memchr_iter(b'"', &tag).count().is_multiple_of(2)
        };
        if is_whole {
            break;
        }
    }
    tag.pop_if(|byte| *byte == b'>');
    Ok(String::from_utf8_lossy(&tag).into_owned())
}

/// What is known while a text is read.
#[derive(Default)]
struct Page {
    is_page: bool,
    /// The text of the cell, the element or the line that is being read.
    text: String,
    in_cell: bool,
    /// Whether the element that is open has begun last, so that it holds a text and no elements.
    is_leaf: bool,
    /// The texts of the row, and what names them.
    row: Vec<(String, String)>,
    heads: usize,
    names: Vec<String>,
    /// The attributes of the elements that are open, and the name that a list of properties gives before a value.
    open: Vec<Vec<(String, String)>>,
    key: Option<String>,
    pieces: Vec<Piece>,
    lines: u64,
}

impl Page {
    fn text(&mut self, text: &str) {
        if self.in_cell || !self.is_page {
            self.text.push_str(text);
            return;
        }
        let mut lines = text.split('\n');
        self.text.push_str(lines.next().unwrap_or_default());
        for line in lines {
            self.end_line();
            self.text.push_str(line);
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.text);
        if !line.trim().is_empty() {
            self.pieces.push(Piece::Line(line.trim_end().to_owned()));
        }
    }

    fn tag(&mut self, tag: &str) {
        let (is_end, tag) = tag.strip_prefix('/').map_or((false, tag), |tag| (true, tag));
        let name: String = tag.chars().take_while(|c| !c.is_whitespace() && *c != '/').collect();
        if self.is_page {
            self.tag_of_page(&name.to_ascii_lowercase(), is_end);
        } else if is_end {
            self.end_element(&name);
        } else {
            self.text.clear();
            self.is_leaf = true;
            self.open.push(attributes(tag.get(name.len()..).unwrap_or_default()));
            if tag.ends_with('/') {
                self.end_element(&name);
            }
        }
    }

    fn tag_of_page(&mut self, name: &str, is_end: bool) {
        match name {
            "td" | "th" => {
                self.end_cell();
                self.text.clear();
                self.in_cell = !is_end;
                self.heads += usize::from(name == "th" && !is_end);
            }
            "tr" | "table" | "tbody" | "thead" => {
                self.end_cell();
                self.end_line();
                self.end_row();
                if name == "table" {
                    self.names.clear();
                }
            }
            _ if self.in_cell && LINES.contains(&name) => self.text.push('\n'),
            _ if LINES.contains(&name) => self.end_line(),
            _ => {}
        }
    }

    fn end_cell(&mut self) {
        if std::mem::take(&mut self.in_cell) {
            let cell = std::mem::take(&mut self.text);
            self.row.push((String::new(), cell.trim().to_owned()));
        }
    }

    fn end_row(&mut self) {
        let mut row = std::mem::take(&mut self.row);
        if row.is_empty() {
            return;
        }
        if std::mem::take(&mut self.heads) == row.len() && self.is_page {
            self.names = row.into_iter().map(|(_, name)| name).collect();
            return;
        }
        let names = if self.names.len() == row.len() { self.names.as_slice() } else { &[] };
        row.iter_mut().zip(names).for_each(|((name, _), told)| name.clone_from(told));
        columns::name(&mut row);
        self.pieces.push(Piece::Row(row));
    }

    /// Ends an element of XML: a text, or a record of texts.
    fn end_element(&mut self, name: &str) {
        let text = std::mem::take(&mut self.text);
        let attributes = self.open.pop().unwrap_or_default();
        if std::mem::take(&mut self.is_leaf) {
            // A list of properties: <key>pod</key><string>x</string>
            if name == "key" {
                self.key = Some(text.trim().to_owned());
                return;
            }
            self.row.extend(attributes);
            if !text.trim().is_empty() {
                let name = self.key.take().unwrap_or_else(|| name.to_owned());
                self.row.push((name, text.trim().to_owned()));
            }
        } else if !self.row.is_empty() {
            self.row.extend(attributes);
            self.row.extend(self.open.iter().rev().flatten().cloned());
            self.end_row();
        }
    }
}

/// `name="value"`, any number of them.
fn attributes(text: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut rest = text;
    while let Some((name, behind)) = rest.split_once('=') {
        let Some(quote) = behind.chars().next().filter(|quote| "\"'".contains(*quote)) else { break };
        let Some((value, after)) = behind.get(1..).unwrap_or_default().split_once(quote) else { break };
        all.push((name.trim().to_owned(), unescaped(value)));
        rest = after;
    }
    all
}

/// The text with its entities as the signs that they stand for.
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('&') {
        plain.push_str(before);
        let entity = behind.split_once(';').filter(|(name, _)| name.len() <= 8);
        match entity.and_then(|(name, after)| Some((sign(name)?, after))) {
            Some((sign, after)) => {
                plain.push(sign);
                rest = after;
            }
            None => {
                plain.push('&');
                rest = behind;
            }
        }
    }
    plain.push_str(rest);
    plain
}

fn sign(name: &str) -> Option<char> {
    let number = |digits: &str, base| u32::from_str_radix(digits, base).ok().and_then(char::from_u32);
    match name {
        "quot" => Some('"'),
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "apos" => Some('\''),
        "nbsp" => Some(' '),
        "lbrace" | "lcub" => Some('{'),
        "rbrace" | "rcub" => Some('}'),
        "lsqb" | "lbrack" => Some('['),
        "rsqb" | "rbrack" => Some(']'),
        "colon" => Some(':'),
        "comma" => Some(','),
        _ => {
            let digits = name.strip_prefix('#')?;
            digits.strip_prefix(['x', 'X']).map_or_else(|| number(digits, 10), |digits| number(digits, 16))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_told_from_a_log() {
        for (text, wanted) in [
            ("<!DOCTYPE html>\n<html>", true),
            ("  <table><tr><td>x</td></tr></table>", true),
            ("<?xml version=\"1.0\"?>", true),
            ("<logs><entry>x</entry></logs>", true),
            ("<14>1 2026-11-20T15:43:09Z n - - - x", false),
            ("<nil> is told </a>", false),
            ("<unknown> [2026-11-20 15:43:09]", false),
            ("[2026-11-20 15:43:09] <a></a>", false),
        ] {
            assert_eq!(is_markup(text.as_bytes()) && !text.starts_with("<nil>"), wanted, "{text}");
        }
    }

    #[test]
    fn rows_and_lines_are_told_with_the_lines_that_they_were() {
        let text =
            "<html>\n<table><tr><th>a<th>pod\n<tr><td>1 &lt;<td>x<span>y</span>\n</table>\n<p>one<br>two</p></html>";
        let (mut told, mut lines) = (Vec::new(), 0);
        each(text.as_bytes(), &mut |piece, more| {
            lines += more;
            told.push(match piece {
                Piece::Row(row) => {
                    row.iter().map(|(name, text)| format!("{name}={text}")).collect::<Vec<_>>().join(" ")
                }
                Piece::Line(line) => line,
            });
            true
        })
        .unwrap();
        assert_eq!((told, lines), (vec!["a=1 < pod=xy".to_owned(), "one".into(), "two".into()], 4));
    }
}
