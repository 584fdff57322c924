{{/* Combinations that cannot work, each with what to do. */}}
{{- define "blastdoor.checks" -}}
{{- end -}}

{{/* What may be wrong with one Service: its arguments are those of `blastdoor.service`. */}}
{{- define "blastdoor.checkService" -}}
{{- end -}}
