{{/* Whether Envoy itself loads the module from a file, so that nothing is pulled. */}}
{{- define "faultline.fromFile" -}}
{{- if and (eq .Values.kind "EnvoyFilter") (ne .Values.position "http") -}}true{{- end -}}
{{- end -}}

{{/* Whether the proxies are Istio's, which all have the cluster that the witness asks through. */}}
{{- define "faultline.isIstio" -}}
{{- if has .Values.kind (list "WasmPlugin" "TrafficExtension" "EnvoyFilter") -}}true{{- end -}}
{{- end -}}

{{- define "faultline.namespace" -}}
{{- if and .Values.meshWide (include "faultline.isIstio" .) -}}
{{ .Values.rootNamespace }}
{{- else -}}
{{ .Release.Namespace }}
{{- end -}}
{{- end -}}

{{/* The image with tag and digest. The digest is in the URL and not in a field beside it: agents would fetch what the
tag names and compare afterwards, so that once the tag has moved no new proxy gets the module. */}}
{{- define "faultline.url" -}}
{{- $how := "(`faultline push` prints REPOSITORY:TAG@DIGEST)" -}}
{{- $repository := required (printf "image.repository is missing: registry and repository of the filter %s" $how) .Values.image.repository -}}
{{- $digest := required (printf "image.digest is missing: without it, proxies would run whatever the tag names %s" $how) .Values.image.digest -}}
oci://{{ $repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}@{{ $digest }}
{{- end -}}

{{/* The filter's configuration as JSON; an empty object if there is none. */}}
{{- define "faultline.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- if .Values.notify -}}{{- $_ := set $config "notify" .Values.notify -}}{{- end -}}
{{- if and .Values.witness (include "faultline.isIstio" .) (not (hasKey $config "witness")) -}}
{{- $_ := set $config "witness" dict -}}
{{- end -}}
{{- if include "faultline.fromFile" . -}}
{{- $_ := set $config "attempts" (ternary "failed" "upstreamLog" (eq .Values.position "lean")) -}}
{{- end -}}
{{- toJson $config -}}
{{- end -}}

{{- define "faultline.metadata" -}}
name: {{ .Values.name | quote }}
namespace: {{ include "faultline.namespace" . | quote }}
{{- with .Values.annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The list of targets, each with the API group of its kind. */}}
{{- define "faultline.targetRefs" -}}
{{- range .Values.targetRefs }}
- group: {{ if eq .kind "Service" }}""{{ else if eq .kind "ServiceEntry" }}networking.istio.io{{ else }}gateway.networking.k8s.io{{ end }}
  kind: {{ .kind }}
  name: {{ .name | quote }}
{{- end }}
{{- end -}}
