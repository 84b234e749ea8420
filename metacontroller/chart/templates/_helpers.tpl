{{/* Names are fixed: they say nothing of the release. What belongs to the cluster is named after the installation. */}}

{{- define "poddnat.labels" -}}
app.kubernetes.io/name: poddnat
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "poddnat.ackKeys" -}}
clusterID regionID vpcID installation enableControllers networkController credential endpoints
{{- end }}

{{- define "poddnat.ownKeys" -}}
existingSecret image imagePullSecrets replicas resources nodeSelector tolerations affinity
topologySpreadConstraints priorityClassName podAnnotations podLabels env serviceAccount podSecurity lease logs token tls
metacontroller metacontroller-helm networkPolicy podDisruptionBudget admissionPolicy rbac crds monitoring
{{- end }}

{{/* ACK's values file, as it came in. */}}
{{- define "poddnat.values" -}}
{{- $file := dict }}
{{- range splitList " " (include "poddnat.ackKeys" .) }}
{{- if hasKey $.Values . }}
{{- $_ := set $file . (get $.Values .) }}
{{- end }}
{{- end }}
{{- toYaml $file }}
{{- end }}

{{- define "poddnat.valuesSecret" -}}
{{ .Values.existingSecret | default "poddnat-values" }}
{{- end }}

{{/* Our image's keys. A text is the image of ACK's controller, in a file that has it. */}}
{{- define "poddnat.imageKeys" -}}
{{- kindIs "map" .Values.image | ternary .Values.image (dict "repository" "poddnat") | toYaml }}
{{- end }}

{{- define "poddnat.image" -}}
{{- with include "poddnat.imageKeys" . | fromYaml -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{/* Where Metacontroller runs: the chart that brings it says so itself. */}}
{{- define "poddnat.caller" -}}
{{- with index .Subcharts "metacontroller-helm" -}}
{{ .Values.namespaceOverride | default $.Release.Namespace }}
{{- else -}}
{{ .Values.metacontroller.namespace }}
{{- end }}
{{- end }}

{{- define "poddnat.host" -}}
poddnat.{{ .Release.Namespace }}.svc
{{- end }}

{{/* Manifests of metacontroller/, from (list $ FILE): in the release's namespace, with its labels, as the installation's. */}}
{{- define "poddnat.manifests" -}}
{{- $ := index . 0 }}
{{- $text := $.Files.Get (printf "files/%s" (index . 1)) | replace "poddnat-system" $.Release.Namespace }}
{{- range $index, $one := splitList "\n---\n" $text }}
{{- $manifest := fromYaml $one }}
{{- $labels := include "poddnat.labels" $ | fromYaml }}
{{- $_ := set $manifest.metadata "labels" (merge ($manifest.metadata.labels | default dict) $labels) }}
{{- include "poddnat.ofInstallation" (list $ $manifest) }}
{{- if $index }}
---
{{ end }}
{{- toYaml $manifest }}
{{- end }}
{{- end }}

{{/* Changes a manifest, from (list $ MANIFEST), for an installation with a name; metacontroller/installation does the same. */}}
{{- define "poddnat.ofInstallation" -}}
{{- $manifest := index . 1 }}
{{- $name := (index . 0).Values.installation }}
{{- if $name }}
{{- $labels := dict "poddnat.alibabacloud.com/installation" $name }}
{{- if has $manifest.kind (list "ClusterRole" "ClusterRoleBinding" "ValidatingAdmissionPolicy" "ValidatingAdmissionPolicyBinding" "DecoratorController" "CompositeController") }}
{{- $_ := set $manifest.metadata "name" (printf "%s-%s" $manifest.metadata.name $name) }}
{{- end }}
{{- if eq $manifest.kind "ClusterRoleBinding" }}
{{- $_ := set $manifest.roleRef "name" $manifest.metadata.name }}
{{- else if eq $manifest.kind "ValidatingAdmissionPolicyBinding" }}
{{- $_ := set $manifest.spec "policyName" $manifest.metadata.name }}
{{- else if eq $manifest.kind "DecoratorController" }}
{{- $_ := set $manifest.metadata.labels "poddnat.alibabacloud.com/installation" $name }}
{{- range $manifest.spec.resources }}
{{- $_ := set . "labelSelector" (dict "matchLabels" $labels) }}
{{- end }}
{{- else if eq $manifest.kind "CompositeController" }}
{{- $_ := set $manifest.metadata.labels "poddnat.alibabacloud.com/installation" $name }}
{{- $_ := set $manifest.spec.parentResource "labelSelector" (dict "matchLabels" $labels) }}
{{- end }}
{{- end }}
{{- end }}
