//! The host's state for one VM: its contexts, what each can see now, its metric ids, its allocator.
//!
//! This is the data of the wasmtime store: `vm` prepares it before a callback, `host` reads and writes it while the
//! module runs.

use crate::abi::{MapKind, Pairs};
use crate::exchange::Exchange;
use crate::expression::Expression;
use crate::ids::VmId;
use crate::process::SharedProcess;
use crate::properties::{Found, Path, Phase, WRAPPERS, from_headers, grpc_status};
use crate::stats::MetricIds;
use crate::value::Value;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use wasmtime::{Memory, StoreLimits, TypedFunc};

/// A plugin: one root context in each VM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RootConfig {
    pub(crate) name: String,
    pub(crate) root_id: String,
    pub(crate) config: Vec<u8>,
    pub(crate) listener: String,
}

impl RootConfig {
    /// A plugin with this configuration (`proxy_on_configure`), and no name or root id.
    pub fn new(config: impl Into<Vec<u8>>) -> Self {
        RootConfig { config: config.into(), ..RootConfig::default() }
    }

    /// Plugin name (`plugin_name`).
    pub fn name(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    /// Root id (`plugin_root_id`).
    pub fn root_id(mut self, id: &str) -> Self {
        self.root_id = id.into();
        self
    }

    /// Stands for the listener's direction and metadata, which are also part of Envoy's plugin key: plugins that differ
    /// only in it get separate root contexts; equal plugins share one.
    pub fn listener(mut self, name: &str) -> Self {
        self.listener = name.into();
        self
    }
}

/// A local reply that the module sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalReply {
    /// HTTP status.
    pub code: u32,
    /// `response.code_details`.
    pub details: String,
    /// Body.
    pub body: Vec<u8>,
    /// Extra headers.
    pub headers: Pairs,
}

/// A stream as the module can see it now.
pub(crate) struct StreamView {
    pub(crate) exchange: Exchange,
    pub(crate) phase: Phase,
    /// Which maps are visible: that of the running callback, and that of one that paused. Envoy forgets a map when its
    /// callback continues.
    pub(crate) visible: [bool; 4],
    pub(crate) body: Vec<u8>,
    pub(crate) body_is_response: bool,
    /// Set by `proxy_set_property`.
    pub(crate) custom: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) local_reply: Option<LocalReply>,
}

impl StreamView {
    pub(crate) fn new(exchange: Exchange, phase: Phase) -> Self {
        StreamView {
            exchange,
            phase,
            visible: [false; 4],
            body: Vec::new(),
            body_is_response: false,
            custom: BTreeMap::new(),
            local_reply: None,
        }
    }

    pub(crate) fn logging(&self) -> bool {
        self.phase == Phase::Log
    }

    /// The map for a read: in the log phase, any that exists except request trailers; otherwise a visible one.
    pub(crate) fn map(&self, kind: MapKind) -> Option<&Pairs> {
        let data = self.exchange.data();
        let response = data.response.as_ref();
        let at = kind as usize;
        if !self.logging() && !self.visible.get(at).copied().unwrap_or(false) {
            return None;
        }
        match kind {
            MapKind::RequestHeaders => Some(&data.request_headers),
            MapKind::RequestTrailers if self.logging() => None,
            MapKind::RequestTrailers => data.request_trailers.as_ref(),
            MapKind::ResponseHeaders => response.map(|response| &response.headers),
            MapKind::ResponseTrailers => response.and_then(|response| response.trailers.as_ref()),
            _ => None,
        }
    }

    /// The map for a write: a visible one, but none in the log phase.
    pub(crate) fn map_mut(&mut self, kind: MapKind) -> Option<&mut Pairs> {
        if self.logging() || !*self.visible.get(kind as usize)? {
            return None;
        }
        let data = self.exchange.data_mut();
        match kind {
            MapKind::RequestHeaders => Some(&mut data.request_headers),
            MapKind::RequestTrailers => data.request_trailers.as_mut(),
            MapKind::ResponseHeaders => data.response.as_mut().map(|response| &mut response.headers),
            MapKind::ResponseTrailers => data.response.as_mut().and_then(|response| response.trailers.as_mut()),
            _ => None,
        }
    }

    fn property(&self, path: &Path, parts: &[&[u8]]) -> Found {
        let facts = &self.exchange.data().facts;
        if let Some(stated) = facts.get(self.phase, path) {
            return stated.cloned().into();
        }
        let request = self.map(MapKind::RequestHeaders);
        let response = self.map(MapKind::ResponseHeaders);
        let trailers = self.map(MapKind::ResponseTrailers);
        if let Some(found) = from_headers(parts, request, response, trailers) {
            return found;
        }
        match parts {
            [b"response", b"grpc_status"] => {
                let code = facts.get(self.phase, &Path::written("response.code")).flatten();
                grpc_status(trailers, response, code)
            }
            [top] if WRAPPERS.contains(top) => Found::Wrapper,
            // Filter state that the module set has a single name, so longer paths never match.
            [name] => self.custom.get(*name).cloned().map(Value::Bytes).into(),
            _ => Found::Missing,
        }
    }
}

/// The answer to an HTTP call while `proxy_on_http_call_response` runs.
pub(crate) struct Answer {
    pub(crate) headers: Pairs,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<Pairs>,
}

/// A root or stream context.
pub(crate) struct Context {
    /// Its root context; for a root, its own id.
    pub(crate) root: u32,
    pub(crate) plugin: Rc<RootConfig>,
    pub(crate) stream: Option<StreamView>,
    /// Whether `proxy_on_context_create` was called, or would have been if the module exported it.
    pub(crate) created: bool,
    /// Whether it is a root whose `proxy_on_done` returned false, and that waits for `proxy_done`.
    pub(crate) pending_done: bool,
    pub(crate) answer: Option<Answer>,
    /// For `proxy_get_status`.
    pub(crate) status: (u32, &'static str),
    /// Expressions by token, on roots only.
    pub(crate) expressions: BTreeMap<u32, Expression>,
    pub(crate) next_expression: u32,
}

impl Context {
    pub(crate) fn new(root: u32, plugin: Rc<RootConfig>, stream: Option<StreamView>) -> Self {
        Context {
            root,
            plugin,
            stream,
            created: false,
            pending_done: false,
            answer: None,
            status: (0, ""),
            expressions: BTreeMap::new(),
            next_expression: 0,
        }
    }
}

/// Data of the wasmtime store of one VM.
pub(crate) struct VmState {
    pub(crate) process: SharedProcess,
    pub(crate) vm: VmId,
    /// Unique in a harness: a rebuilt worker has the same `vm` but another serial number.
    pub(crate) serial: u64,
    pub(crate) contexts: HashMap<u32, Context>,
    pub(crate) next_context: u32,
    pub(crate) current: u32,
    /// Set by `proxy_set_effective_context`; 0 is none.
    pub(crate) effective: u32,
    /// Whether `_initialize`, `main` or `_start` is running; then only logging is allowed.
    pub(crate) starting: bool,
    /// The plugin configuration, which can be read only while a root is created or configured.
    pub(crate) configuring: Option<Rc<RootConfig>>,
    pub(crate) metric_ids: MetricIds,
    pub(crate) next_call_token: u32,
    pub(crate) host_calls: u64,
    /// Roots that called `proxy_done`; they are deleted when the running callback is over.
    pub(crate) done: Vec<u32>,
    pub(crate) memory: Option<Memory>,
    pub(crate) allocate: Option<TypedFunc<u32, u32>>,
    pub(crate) limits: StoreLimits,
}

impl VmState {
    /// The context that host calls act on. If the effective context is gone, that is the running one.
    pub(crate) fn acting(&self) -> u32 {
        match self.effective {
            0 => self.current,
            id if self.contexts.contains_key(&id) => id,
            _ => self.current,
        }
    }

    /// The root of the context that host calls act on.
    pub(crate) fn acting_root(&self) -> u32 {
        let acting = self.acting();
        self.contexts.get(&acting).map_or(acting, |context| context.root)
    }

    pub(crate) fn context(&self, id: u32) -> Option<&Context> {
        self.contexts.get(&id)
    }

    pub(crate) fn root_of(&mut self, id: u32) -> Option<&mut Context> {
        let root = self.contexts.get(&id)?.root;
        self.contexts.get_mut(&root)
    }

    /// The attribute as this context sees it now. Without a stream, only those of the node and of the plugin exist.
    pub(crate) fn property(&self, id: u32, path: &Path) -> Found {
        // An empty path is CEL's default value, which is null.
        if path.bytes().is_empty() {
            return Found::Wrapper;
        }
        let parts = path.parts();
        let context = self.contexts.get(&id);
        let stream = context.and_then(|context| context.stream.as_ref());
        let found = stream.map_or(Found::Missing, |stream| stream.property(path, &parts));
        if found != Found::Missing {
            return found;
        }
        let text = |text: &str| Found::Value(text.into());
        match (&parts[..], context) {
            ([b"xds"], _) => Found::Wrapper,
            ([b"xds", b"node", rest @ ..], _) => self.process.borrow().node.property(rest).into(),
            ([b"plugin_name"], Some(context)) => text(&context.plugin.name),
            ([b"plugin_root_id"], Some(context)) => text(&context.plugin.root_id),
            ([b"plugin_vm_id"], _) => text(&self.process.borrow().vm_id),
            _ => Found::Missing,
        }
    }
}
