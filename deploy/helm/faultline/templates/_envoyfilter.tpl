{{/* Envoy's PluginConfig, the same in every position, so that all of them share one VM on each worker. */}}
{{- define "faultline.envoyPlugin" -}}
{{- $config := include "faultline.config" . -}}
{{- if ne $config "{}" -}}
configuration:
  "@type": type.googleapis.com/google.protobuf.StringValue
  {{- /* Go escapes these three for HTML, which nobody reads here. */}}
  value: {{ fromJson $config | toPrettyJson | replace "\\u003c" "<" | replace "\\u003e" ">" | replace "\\u0026" "&" | quote }}
{{ end -}}
failure_policy: FAIL_OPEN
name: {{ .Values.name | quote }}
root_id: faultline
vm_config:
  code:
    {{- if include "faultline.fromFile" . }}
    local:
      filename: {{ .Values.module | quote }}
    {{- else }}
    remote:
      http_uri:
        cluster: _
        timeout: 30s
        uri: {{ include "faultline.url" . }}
      sha256: {{ trimPrefix "sha256:" .Values.image.digest | quote }}
    {{- end }}
  runtime: envoy.wasm.runtime.v8
{{- end -}}

{{/* The plugin as an access logger. */}}
{{- define "faultline.accessLog" -}}
name: envoy.access_loggers.wasm
typed_config:
  "@type": type.googleapis.com/envoy.extensions.access_loggers.wasm.v3.WasmAccessLog
  config:
    {{- include "faultline.envoyPlugin" . | nindent 4 }}
{{- end -}}

{{/* One patch at the router. */}}
{{- define "faultline.atRouter" -}}
- applyTo: HTTP_FILTER
  match:
    context: {{ .context }}
    listener:
      filterChain:
        filter:
          name: envoy.filters.network.http_connection_manager
          subFilter:
            name: envoy.filters.http.router
  patch:
    operation: {{ .operation }}
    value:
      {{- .value | nindent 6 }}
{{- end -}}

{{/* The HTTP filter that discovery fetches: Istio's agent pulls the image and puts a file in its place. */}}
{{- define "faultline.discovered" -}}
name: {{ .Values.name | quote }}
config_discovery:
  config_source:
    ads: {}
    initial_fetch_timeout: 30s
    resource_api_version: V3
  # If the resource does not arrive in time, requests go on without the plugin; without a default they would get a 500.
  default_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
  type_urls:
  - type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
  - type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
{{- end -}}

{{/* The HTTP filter from the file. */}}
{{- define "faultline.httpFilter" -}}
name: {{ .Values.name | quote }}
typed_config:
  "@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
  config:
    {{- include "faultline.envoyPlugin" . | nindent 4 }}
{{- end -}}

{{/* The router with the plugin in its log; in the position lean behind Envoy's own filter for failures. */}}
{{- define "faultline.router" -}}
name: envoy.filters.http.router
typed_config:
  "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  upstream_log:
  - {{ include "faultline.accessLog" . | indent 4 | trim }}
    {{- if eq .Values.position "lean" }}
    filter:
      or_filter:
        filters:
        # Envoy demands the key; nothing sets it.
        - status_code_filter: {comparison: {op: GE, value: {default_value: 500, runtime_key: faultline.unset}}}
        - status_code_filter: {comparison: {op: EQ, value: {default_value: 0, runtime_key: faultline.unset}}}
        - response_flag_filter: {}
        # A gRPC error that comes at once has status 200.
        - grpc_status_filter:
            statuses: [DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS]
    {{- end }}
{{- end -}}

{{/* The log of requests that reached no endpoint, in the position lean. */}}
{{- define "faultline.failedRequests" -}}
- applyTo: NETWORK_FILTER
  match:
    context: {{ .context }}
    listener:
      filterChain:
        filter:
          name: envoy.filters.network.http_connection_manager
  patch:
    operation: MERGE
    value:
      name: envoy.filters.network.http_connection_manager
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
        access_log:
        - {{ .log | indent 10 | trim }}
          filter:
            response_flag_filter: {}
{{- end -}}

{{/* Istio's EnvoyFilter. */}}
{{- define "faultline.envoyFilter" -}}
{{- $contexts := ternary (list "GATEWAY") (list "SIDECAR_OUTBOUND" "GATEWAY") (not (empty .Values.targetRefs)) -}}
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata:
  {{- include "faultline.metadata" . | nindent 2 }}
spec:
  configPatches:
  {{- if eq .Values.position "http" }}
  - applyTo: EXTENSION_CONFIG
    match:
      context: ANY
    patch:
      operation: ADD
      value:
        name: {{ .Values.name | quote }}
        typed_config:
          # A TypedStruct, because the agents of all versions look into one.
          "@type": type.googleapis.com/udpa.type.v1.TypedStruct
          type_url: type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
          value:
            config:
              {{- include "faultline.envoyPlugin" . | nindent 14 }}
  {{- $filter := include "faultline.discovered" . }}
  {{- range $contexts }}
  {{- include "faultline.atRouter" (dict "context" . "operation" "INSERT_BEFORE" "value" $filter) | nindent 2 }}
  {{- end }}
  {{- else }}
  {{- if eq .Values.position "upstream-log" }}
  {{- $filter := include "faultline.httpFilter" . }}
  {{- range $contexts }}
  {{- include "faultline.atRouter" (dict "context" . "operation" "INSERT_BEFORE" "value" $filter) | nindent 2 }}
  {{- end }}
  {{- end }}
  # Merged into the router's own configuration, so an existing log stays.
  {{- $router := include "faultline.router" . }}
  {{- range $contexts }}
  {{- include "faultline.atRouter" (dict "context" . "operation" "MERGE" "value" $router) | nindent 2 }}
  {{- end }}
  {{- if eq .Values.position "lean" }}
  {{- $log := include "faultline.accessLog" . }}
  {{- range $contexts }}
  {{- include "faultline.failedRequests" (dict "context" . "log" $log) | nindent 2 }}
  {{- end }}
  {{- end }}
  {{- end }}
  {{- if .Values.targetRefs }}
  targetRefs:
  {{- include "faultline.targetRefs" . | trim | nindent 2 }}
  {{- end }}
  {{- with .Values.selector }}
  workloadSelector:
    labels:
      {{- toYaml . | nindent 6 }}
  {{- end }}
{{- end -}}
