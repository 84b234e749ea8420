{{/* Names are fixed: there is one poddnat in a cluster, and its controllers, policy and roles belong to the cluster. */}}

{{- define "poddnat.labels" -}}
app.kubernetes.io/name: poddnat
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "poddnat.ackKeys" -}}
clusterID regionID vpcID enableControllers networkController credential endpoints
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

{{/* Manifests of metacontroller/, from (list $ FILE): in the release's namespace, with its labels. */}}
{{- define "poddnat.manifests" -}}
{{- $ := index . 0 }}
{{- $text := $.Files.Get (printf "files/%s" (index . 1)) | replace "poddnat-system" $.Release.Namespace }}
{{- range $index, $one := splitList "\n---\n" $text }}
{{- $manifest := fromYaml $one }}
{{- $labels := include "poddnat.labels" $ | fromYaml }}
{{- $_ := set $manifest.metadata "labels" (merge ($manifest.metadata.labels | default dict) $labels) }}
{{- if $index }}
---
{{ end }}
{{- toYaml $manifest }}
{{- end }}
{{- end }}
