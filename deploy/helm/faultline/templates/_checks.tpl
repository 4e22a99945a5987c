{{/* Refuses values that do not go together: what a resource silently ignores is worse than none. */}}
{{- define "faultline.check" -}}
{{- $kind := .Values.kind -}}
{{- $file := include "faultline.fromFile" . -}}
{{- $plugin := has $kind (list "WasmPlugin" "TrafficExtension") -}}
{{- if and (ne .Values.position "http") (ne $kind "EnvoyFilter") -}}
{{- fail (printf "position %s does not go with kind %s: the logs take kind EnvoyFilter" .Values.position $kind) -}}
{{- end -}}
{{- if and $file (not .Values.selector) (not .Values.targetRefs) -}}
{{- fail (printf "position %s needs selector or targetRefs: a proxy without the module's file would refuse all its listeners" .Values.position) -}}
{{- end -}}
{{- if and .Values.selector .Values.targetRefs -}}
{{- fail "selector and targetRefs exclude each other" -}}
{{- end -}}
{{- if and .Values.meshWide (not (include "faultline.isIstio" .)) -}}
{{- fail (printf "meshWide does not go with kind %s: only Istio has a root namespace" $kind) -}}
{{- end -}}
{{- if and .Values.selector (has $kind (list "EnvoyExtensionPolicy" "HigressWasmPlugin")) -}}
{{- fail (printf "selector does not go with kind %s" $kind) -}}
{{- end -}}
{{- if and (or .Values.phase (ne (int .Values.priority) 0)) (not (or $plugin (eq $kind "HigressWasmPlugin"))) -}}
{{- fail (printf "phase and priority do not go with kind %s: the filter stands last before the router" $kind) -}}
{{- end -}}
{{- if and (or .Values.image.pullSecret .Values.image.pullPolicy) (eq $kind "EnvoyFilter") -}}
{{- fail "image.pullSecret and image.pullPolicy do not go with kind EnvoyFilter: istiod hands secrets to WasmPlugin and TrafficExtension only" -}}
{{- end -}}
{{- with .Values.config.attempts -}}
{{- fail (printf "config.attempts (%s) follows from `position`: leave it off" .) -}}
{{- end -}}
{{- if and .Values.notify .Values.config.notify -}}
{{- fail "notify and config.notify are the same: give one of them" -}}
{{- end -}}
{{- include "faultline.checkTargets" . -}}
{{- end -}}

{{/* Refuses targets to which the kind's controller does not attach. */}}
{{- define "faultline.checkTargets" -}}
{{- $kind := .Values.kind -}}
{{- $accepted := list "Gateway" "GatewayClass" "Service" "ServiceEntry" -}}
{{- if eq $kind "EnvoyFilter" -}}{{- $accepted = list "Gateway" "GatewayClass" -}}{{- end -}}
{{- if eq $kind "HigressWasmPlugin" -}}{{- $accepted = list -}}{{- end -}}
{{- if eq $kind "EnvoyExtensionPolicy" -}}
{{- $accepted = list "Gateway" "ListenerSet" "HTTPRoute" "GRPCRoute" -}}
{{- if not .Values.targetRefs -}}{{- fail "kind EnvoyExtensionPolicy needs targetRefs, such as {kind: Gateway, name: edge}" -}}{{- end -}}
{{- end -}}
{{- range .Values.targetRefs -}}
{{- if not (has .kind $accepted) -}}
{{- fail (printf "targetRefs: kind %s does not attach to %s/%s; it attaches to: %s" $kind .kind .name (join ", " $accepted | default "its gateway, all of it")) -}}
{{- end -}}
{{- end -}}
{{- end -}}
