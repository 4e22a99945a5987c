//! Whose log a file is, by its name and the folders that it lies in.

use std::path::Path;

use super::labels::of_path;
use super::source::Source;

/// Whose log a part of the input is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Key {
    /// A pod, from the record or from the name of a kubelet's file.
    Pod(Source),
    /// A file that is one proxy's, without what rotation and compression add to its name.
    File(String),
}

/// What rotation, compression and tools add to a name.
const ADDED: [&str; 15] = [
    "gz", "zst", "tgz", "tzst", "tar", "log", "txt", "json", "jsonl", "ndjson", "csv", "tsv", "previous", "prev", "out",
];

/// Names that say what a file is and not whose: the folder says that.
const ANYBODYS: [&str; 12] =
    ["proxy", "istio-proxy", "envoy", "log", "logs", "current", "previous", "stdout", "stderr", "output", "0", "1"];

/// The proxy that a file belongs to, by its name: a kubelet's, a collection's, or any with what rotation and
/// compression add to it.
pub(super) fn key_of(file: &Path) -> Key {
    if file == Path::new("-") {
        return Key::File("stdin".into());
    }
    let path = file.to_string_lossy().replace('\\', "/");
    if let Some(source) = of_folders(&path) {
        return Key::Pod(source);
    }
    if let Some((namespace, pod, container)) = of_path(&path) {
        let (pod, namespace, container) = (pod.to_owned(), namespace.to_owned(), container.to_owned());
        return Key::Pod(Source { pod, namespace, container, ..Source::default() });
    }
    Key::File(stem(&file.to_string_lossy()))
}

/// The proxy that a file belongs to which lies in an archive, or whose lines another file has; `entry` is empty for the
/// file itself. Two archives may each have a file of one name: these are two proxies', as two folders' are.
pub(super) fn key_in(file: &Path, entry: &str) -> Key {
    if entry.is_empty() {
        return key_of(file);
    }
    match key_of(Path::new(entry)) {
        Key::File(inner) if is_archive(file) => {
            Key::File(format!("{}/{}", stem(&file.to_string_lossy()), inner.trim_start_matches("./")))
        }
        key => key,
    }
}

fn is_archive(file: &Path) -> bool {
    let name = file.to_string_lossy();
    [".tar", ".tgz", ".tar.gz", ".tar.zst", ".tzst"].iter().any(|end| name.ends_with(end))
}

/// The pod that the folders tell:
/// `NAMESPACE_POD_UID/CONTAINER/0.log` of the kubelet, `NAMESPACE/POD/logs.txt` of `kubectl cluster-info dump`,
/// `proxies/NAMESPACE/POD/istio-proxy.log` of `istioctl bug-report`, and
/// `namespaces/NAMESPACE/pods/POD/CONTAINER/CONTAINER/logs/current.log` of `oc adm must-gather`.
fn of_folders(path: &str) -> Option<Source> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let source = |namespace: &str, pod: &str, container: &str| {
        let [namespace, pod, container] = [namespace, pod, container].map(str::to_owned);
        Some(Source { pod, namespace, container, ..Source::default() })
    };
    if let [.., folder, container, _] = parts[..]
        && let [namespace, pod, _] = folder.split('_').collect::<Vec<_>>()[..]
    {
        return source(namespace, pod, container);
    }
    match parts[..] {
        [.., "namespaces", namespace, "pods", pod, container, _, "logs", _] => source(namespace, pod, container),
        [.., "proxies", namespace, pod, file] => source(namespace, pod, &stem(file)),
        [.., namespace, pod, "logs.txt"] => source(namespace, pod, ""),
        _ => None,
    }
}

/// A file's path without what rotation and compression add to it.
fn stem(path: &str) -> String {
    let mut stem = path.to_owned();
    while let Some((rest, extension)) = stem.rsplit_once('.') {
        let number = is_number(extension);
        // logrotate's `dateext`: proxy.log-20261120, proxy.log.2026-11-20
        let dated = extension.strip_prefix("log-").is_some_and(is_date) || (is_date(extension) && has_letter(rest));
        // An address is no rotated file: the number comes after an extension.
        let is_added = ADDED.contains(&extension) || dated || (number && rest.contains(".log"));
        if rest.is_empty() || rest.ends_with('/') || !is_added {
            break;
        }
        stem.truncate(rest.len());
    }
    // proxy-20261120.log, proxy_2026-11-20.log
    if let Some((rest, _)) = stem
        .match_indices(['-', '_'])
        .map(|(at, _)| stem.split_at(at))
        .find(|(rest, date)| has_letter(rest) && !rest.ends_with('/') && date.get(1..).is_some_and(is_date))
    {
        stem.truncate(rest.len());
    }
    stem.strip_suffix("-previous").unwrap_or(&stem).to_owned()
}

/// The file that a rotated one goes on in, where rotation puts its number before the extension: `proxy.1.log` and
/// `proxy.log`. So may a version be written, so the other must be there, too.
pub(super) fn unrotated(stem: &str) -> Option<&str> {
    let (rest, number) = stem.rsplit_once('.')?;
    (is_number(number) && has_letter(rest)).then_some(rest)
}

/// Names for a file, the shortest first: the last part that tells whose it is, and more of the path.
pub(super) fn names_of(stem: &str) -> [String; 2] {
    let mut parts = stem.rsplit(['/', '\\']);
    let last = parts.next().unwrap_or(stem);
    let folder = parts.next().filter(|folder| !["", ".", ".."].contains(folder));
    let short = if ANYBODYS.contains(&last) { folder.unwrap_or(last) } else { last };
    [short.to_owned(), stem.to_owned()]
}

fn is_number(extension: &str) -> bool {
    !extension.is_empty() && extension.len() <= 3 && extension.bytes().all(|byte| byte.is_ascii_digit())
}

fn has_letter(path: &str) -> bool {
    path.rsplit(['/', '\\']).next().unwrap_or(path).contains(|c: char| c.is_ascii_alphabetic())
}

/// Whether a part of a file's name is a date, with a time or not: `20261120`, `2026-11-20T15-10-00`.
fn is_date(text: &str) -> bool {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_digit).collect();
    let at = |from: usize, to: usize| {
        digits.get(from..to).and_then(|part| std::str::from_utf8(part).ok()?.parse::<u32>().ok()).unwrap_or_default()
    };
    digits.len() >= 8
        && text.starts_with("20")
        && (1..=12).contains(&at(4, 6))
        && (1..=31).contains(&at(6, 8))
        && text.bytes().all(|byte| byte.is_ascii_digit() || b"-_T.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(namespace: &str, pod: &str, container: &str) -> Key {
        let [namespace, pod, container] = [namespace, pod, container].map(str::to_owned);
        Key::Pod(Source { pod, namespace, container, ..Source::default() })
    }

    #[test]
    fn a_proxy_is_named_by_its_file_without_what_rotation_adds() {
        for path in [
            "logs/mocka.log",
            "logs/mocka.log.1",
            "logs/mocka.log.12.gz",
            "logs/mocka.log-20261120",
            "logs/mocka.log-20261120-1763650000.gz",
            "logs/mocka.log.2026-11-20",
            "logs/mocka-20261120.log",
            "logs/mocka-2026-11-20T15-10-00.log.gz",
            "logs/mocka_2026-11-20.log",
            "logs/mocka.2026-11-20.log",
            "logs/mocka-previous.log",
            "logs/mocka",
        ] {
            assert_eq!(key_of(Path::new(path)), Key::File("logs/mocka".into()), "{path}");
        }
        assert_eq!(key_of(Path::new("10.0.0.1")), Key::File("10.0.0.1".into()));
        assert_eq!(key_of(Path::new("mocka-20269999.log")), Key::File("mocka-20269999".into()));
        assert_eq!(key_of(Path::new(".log")), Key::File(".log".into()));
        assert_eq!(unrotated("logs/mocka.1"), Some("logs/mocka"));
        assert_eq!([unrotated("10.0.0.1"), unrotated("mocka-1"), unrotated("a.b/1")], [None; 3]);
    }

    #[test]
    fn the_folders_of_collections_name_the_pod() {
        for (path, wanted) in [
            ("/var/log/pods/shop_mocka-1_0f3c/istio-proxy/0.log", pod("shop", "mocka-1", "istio-proxy")),
            ("dump/shop/mocka-1/logs.txt", pod("shop", "mocka-1", "")),
            ("bug-report/proxies/shop/mocka-1/istio-proxy.log", pod("shop", "mocka-1", "istio-proxy")),
            (
                "q/namespaces/shop/pods/mocka-1/istio-proxy/istio-proxy/logs/current.log",
                pod("shop", "mocka-1", "istio-proxy"),
            ),
        ] {
            assert_eq!(key_of(Path::new(path)), wanted, "{path}");
        }
        assert_eq!(names_of("a/mocka-1/proxy"), ["mocka-1", "a/mocka-1/proxy"]);
        assert_eq!(names_of("a/mocka-1")[0], "mocka-1");
        assert_eq!(names_of("proxy")[0], "proxy");
    }
}
