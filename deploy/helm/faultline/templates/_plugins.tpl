{{/* What runs: fields of `spec` in a WasmPlugin, of `spec.wasm` in a TrafficExtension. */}}
{{- define "faultline.code" -}}
# Any other strategy answers 403 to all traffic when the module cannot be fetched.
failStrategy: FAIL_OPEN
{{- with .Values.image.pullPolicy }}
imagePullPolicy: {{ . }}
{{- end }}
{{- with .Values.image.pullSecret }}
imagePullSecret: {{ . | quote }}
{{- end }}
{{- $config := include "faultline.config" . }}
{{- if and (ne $config "{}") (ne .Values.kind "HigressWasmPlugin") }}
pluginConfig:
  {{- fromJson $config | toYaml | nindent 2 }}
{{- end }}
pluginName: faultline
url: {{ include "faultline.url" . }}
{{- end -}}

{{/* Istio's WasmPlugin and TrafficExtension. */}}
{{- define "faultline.istio" -}}
apiVersion: extensions.istio.io/v1alpha1
kind: {{ .Values.kind }}
metadata:
  {{- include "faultline.metadata" . | nindent 2 }}
spec:
  {{- if .Values.targetRefs }}
  # No match: a waypoint counts as a server, so CLIENT would silently never apply there.
  targetRefs:
  {{- include "faultline.targetRefs" . | trim | nindent 2 }}
  {{- else }}
  match:
  - mode: CLIENT
  {{- with .Values.selector }}
  selector:
    matchLabels:
      {{- toYaml . | nindent 6 }}
  {{- end }}
  {{- end }}
  {{- with .Values.phase }}
  phase: {{ . }}
  {{- end }}
  # Always set: if unset, istiod sorts the plugin behind every other.
  priority: {{ int .Values.priority }}
  {{- if eq .Values.kind "TrafficExtension" }}
  wasm:
    {{- include "faultline.code" . | nindent 4 }}
  {{- else }}
  {{- include "faultline.code" . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* Higress's WasmPlugin: all of its gateway. */}}
{{- define "faultline.higress" -}}
apiVersion: extensions.higress.io/v1alpha1
kind: WasmPlugin
metadata:
  {{- include "faultline.metadata" . | nindent 2 }}
spec:
  {{- include "faultline.code" . | nindent 2 }}
  # Present even if empty: it covers every route, whereas matchRules would cover some.
  defaultConfig:
    {{- include "faultline.config" . | fromJson | toYaml | nindent 4 }}
  defaultConfigDisable: false
  phase: {{ .Values.phase | default "UNSPECIFIED_PHASE" }}
  priority: {{ int .Values.priority }}
{{- end -}}

{{/* Envoy Gateway's EnvoyExtensionPolicy. */}}
{{- define "faultline.policy" -}}
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: EnvoyExtensionPolicy
metadata:
  {{- include "faultline.metadata" . | nindent 2 }}
spec:
  targetRefs:
  {{- include "faultline.targetRefs" . | trim | nindent 2 }}
  wasm:
  - name: {{ .Values.name | quote }}
    rootID: faultline
    # Without it, requests are refused when the module cannot run.
    failOpen: true
    {{- $config := include "faultline.config" . }}
    {{- if ne $config "{}" }}
    config:
      {{- fromJson $config | toYaml | nindent 6 }}
    {{- end }}
    code:
      type: Image
      {{- with .Values.image.pullPolicy }}
      pullPolicy: {{ . }}
      {{- end }}
      image:
        {{- with .Values.image.pullSecret }}
        pullSecretRef:
          group: ""
          kind: Secret
          name: {{ . | quote }}
        {{- end }}
        url: {{ include "faultline.url" . }}
{{- end -}}
