{{/* Name of the chart, for labels. */}}
{{- define "physlm.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Name of what there is one of in a release. */}}
{{- define "physlm.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "physlm.name" .) .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "physlm.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Name of a part of the release: (list $ "launcher"). The part is never what is cut off. */}}
{{- define "physlm.partName" -}}
{{- $root := index . 0 }}{{ $part := index . 1 }}
{{- printf "%s-%s" (include "physlm.fullname" $root | trunc (int (sub 62 (len $part))) | trimSuffix "-") $part }}
{{- end }}

{{/* What selectors use. */}}
{{- define "physlm.selectorLabels" -}}
app.kubernetes.io/name: {{ include "physlm.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Labels of a resource: (list $ "launcher"). */}}
{{- define "physlm.labels" -}}
{{- $root := index . 0 }}{{ $component := index . 1 -}}
{{ include "physlm.selectorLabels" $root }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/component: {{ $component }}
app.kubernetes.io/part-of: physlm
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Labels that shards' pods bear; the launcher sets them. */}}
{{- define "physlm.shardLabels" -}}
{{ include "physlm.selectorLabels" . }}
app.kubernetes.io/component: shard
{{- end }}

{{- define "physlm.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end }}
{{- end }}

{{/* Name of a service account: (list $ "launcher" .Values.launcher.serviceAccount). */}}
{{- define "physlm.serviceAccountName" -}}
{{- $root := index . 0 }}{{ $part := index . 1 }}{{ $account := index . 2 }}
{{- if $account.name }}
{{- $account.name }}
{{- else if $account.create }}
{{- include "physlm.partName" (list $root $part) }}
{{- else }}
{{- "default" }}
{{- end }}
{{- end }}

{{- define "physlm.launcherAccount" -}}
{{- include "physlm.serviceAccountName" (list . "launcher" .Values.launcher.serviceAccount) }}
{{- end }}

{{- define "physlm.shardAccount" -}}
{{- include "physlm.serviceAccountName" (list . "shard" .Values.shard.serviceAccount) }}
{{- end }}
