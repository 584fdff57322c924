{{/* The name of the chart, in labels. */}}
{{- define "blastdoor.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* The prefix of all names. Short enough for the name of a door behind it. */}}
{{- define "blastdoor.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
The name of an object that other installations could have beside it, in the cluster or in a namespace that both use: with the
namespace of the release, which has no dot. (dict "root" $ "name" … "suffix" …)
*/}}
{{- define "blastdoor.sharedName" -}}
{{- $namespace := .root.Release.Namespace -}}
{{- if ne $namespace .name }}{{ $namespace }}.{{ end }}{{ .name }}{{ .suffix | default "" }}
{{- end -}}

{{/* By what Services and workloads find their pods. */}}
{{- define "blastdoor.selectorLabels" -}}
app.kubernetes.io/name: {{ include "blastdoor.name" . | toYaml }}
app.kubernetes.io/instance: {{ .Release.Name | toYaml }}
{{- end -}}

{{/* The labels of every object. */}}
{{- define "blastdoor.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "blastdoor.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/*
The metadata of an object: (dict "root" $ "name" … "namespace" true "labels" (dict) "annotations" (dict)). Labels and
annotations of the object win over common ones.
*/}}
{{- define "blastdoor.metadata" -}}
{{- $root := .root -}}
name: {{ .name | toYaml }}
{{- if ne (toString .namespace) "false" }}
namespace: {{ .namespace | default $root.Release.Namespace | toYaml }}
{{- end }}
labels:
  {{- $labels := include "blastdoor.labels" $root | fromYaml }}
  {{- toYaml (mergeOverwrite $labels (.labels | default dict)) | nindent 2 }}
{{- with mergeOverwrite (deepCopy ($root.Values.commonAnnotations | default dict)) (.annotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The name and tag of the image. */}}
{{- define "blastdoor.image" -}}
{{- $image := .Values.image -}}
{{- $name := $image.repository -}}
{{- if $image.registry }}{{ $name = printf "%s/%s" $image.registry $image.repository }}{{ end -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $name $image.digest -}}
{{- else -}}
{{- $tag := default .Chart.AppVersion $image.tag | toString -}}
{{- if and (eq .Values.privilegedPorts "netbind") (not (hasSuffix "-netbind" $tag)) }}{{ $tag = printf "%s-netbind" $tag }}{{ end -}}
{{- printf "%s:%s" $name $tag -}}
{{- end -}}
{{- end -}}
