{{/* The image, by its digest. */}}
{{- define "hot-switch.image" -}}
{{- $repository := required "hotSwitch.image.repository is missing: registry and repository of hot-switch's image" .Values.image.repository -}}
{{- $digest := required "hotSwitch.image.digest is missing: the admission policy allows the stand-in only by its digest" .Values.image.digest -}}
{{ $repository }}@{{ $digest }}
{{- end -}}

{{/* Puts a resource into the namespace of hot-switch, which its accounts and its admission policy name. */}}
{{- define "hot-switch.placed" -}}
{{- if has .kind (list "ServiceAccount" "Role" "RoleBinding" "DaemonSet" "Deployment" "PodDisruptionBudget") -}}
{{- $_ := set .metadata "namespace" "faultline-hot-switch" -}}
{{- end -}}
{{- end -}}

{{/* Sets image and values of the agent or the controller. */}}
{{- define "hot-switch.workload" -}}
{{- $pod := .it.spec.template.spec -}}
{{- $container := index $pod.containers 0 -}}
{{- $_ := set $container "image" .image -}}
{{- with .values.image.pullSecrets -}}{{- $_ := set $pod "imagePullSecrets" . -}}{{- end -}}
{{- if eq .it.kind "DaemonSet" -}}
{{- with .values.agent.resources -}}{{- $_ := set $container "resources" . -}}{{- end -}}
{{- with .values.agent.nodeSelector -}}{{- $_ := set $pod "nodeSelector" . -}}{{- end -}}
{{- with .values.agent.tolerations -}}{{- $_ := set $pod "tolerations" . -}}{{- end -}}
{{- else -}}
{{- $_ := set .it.spec "replicas" .values.controller.replicas -}}
{{- with .values.controller.resources -}}{{- $_ := set $container "resources" . -}}{{- end -}}
{{- end -}}
{{- end -}}

{{/* Writes the namespaces that are never touched into the admission policy. */}}
{{- define "hot-switch.fence" -}}
{{- $spaces := append .values.systemNamespaces "faultline-hot-switch" -}}
{{- $list := printf "['%s']" (join "', '" $spaces) -}}
{{- range .it.spec.validations -}}
{{- $_ := set . "expression" (.expression | replace "['kube-system', 'istio-system', 'faultline-hot-switch']" $list) -}}
{{- end -}}
{{- end -}}
