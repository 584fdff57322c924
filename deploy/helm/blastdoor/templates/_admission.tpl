{{/*
Whether the labels of an Ingress match a selector of a door, in CEL. The grammar is the gateway's own, which is that of `kubectl get -l`.
Keys and values are of characters that need no escape in CEL, so nothing that is written there can become CEL.
*/}}
{{- define "blastdoor.admission.selector" -}}
{{- $written := . -}}
{{- $usable := "write it as `key=value`, `key!=value`, `key in (a, b)`, `key notin (a, b)`, `key` or `!key`, joined by commas" -}}
{{- $terms := list -}}
{{- range $part := regexFindAll "[^,()]+(\\([^()]*\\))?" $written -1 -}}
{{- $part = trim $part -}}
{{- $key := "" -}}
{{- $values := list -}}
{{- $negated := false -}}
{{- if hasPrefix "!" $part -}}
{{- $key = trimPrefix "!" $part | trim -}}
{{- $negated = true -}}
{{- else if contains "(" $part -}}
{{- if not (regexMatch "^\\S+\\s+(in|notin)\\s*\\([^()]+\\)$" $part) }}{{ fail (printf "admissionPolicies: the selector `%s` cannot be read at `%s`; %s" $written $part $usable) }}{{ end -}}
{{- $key = regexFind "^\\S+" $part -}}
{{- $negated = regexMatch "^\\S+\\s+notin" $part -}}
{{- range regexReplaceAll "^[^(]*\\((.*)\\)$" $part "${1}" | splitList "," }}{{ $values = append $values (trim .) }}{{ end -}}
{{- else if contains "=" $part -}}
{{- $negated = contains "!=" $part -}}
{{- $sides := regexSplit "!=|==|=" $part 2 -}}
{{- $key = index $sides 0 | trim -}}
{{- $values = list (index $sides 1 | trim) -}}
{{- else -}}
{{- $key = $part -}}
{{- end -}}
{{- if not (regexMatch "^[A-Za-z0-9][-A-Za-z0-9_./]*$" $key) }}{{ fail (printf "admissionPolicies: `%s` in the selector `%s` is no label key; %s" $key $written $usable) }}{{ end -}}
{{- range $values -}}
{{- if not (regexMatch "^[-A-Za-z0-9_.]*$" .) }}{{ fail (printf "admissionPolicies: `%s` in the selector `%s` is no label value; %s" . $written $usable) }}{{ end -}}
{{- end -}}
{{- $term := printf "'%s' in variables.labels" $key -}}
{{- if $values }}{{ $term = printf "%s && variables.labels['%s'] in ['%s']" $term $key (join "', '" $values) }}{{ end -}}
{{- $terms = append $terms (ternary (printf "!(%s)" $term) (printf "(%s)" $term) $negated) -}}
{{- end -}}
{{- if not $terms }}{{ fail (printf "admissionPolicies: the selector `%s` is empty; %s" $written $usable) }}{{ end -}}
{{- join " && " $terms -}}
{{- end -}}

{{/*
Whether an Ingress has one of these classes, in CEL. Without a class it belongs to the default class, which no policy can look up and which may
change later, so it counts as one of them.
*/}}
{{- define "blastdoor.admission.classes" -}}
{{- range . -}}
{{- if not (regexMatch "^[a-z0-9][-a-z0-9.]*$" .) }}{{ fail (printf "admissionPolicies: `%s` cannot be the name of an IngressClass" .) }}{{ end -}}
{{- end -}}
variables.class in ['', '{{ join "', '" . }}']
{{- end -}}

{{/* Whether a door admits an Ingress by its labels and class, in CEL, as listeners.toml says: (dict "listener" … "ingressClasses" …). */}}
{{- define "blastdoor.admission.chooses" -}}
{{- $terms := list -}}
{{- $selectors := .listener.selector -}}
{{- if kindIs "string" $selectors }}{{ $selectors = list $selectors | compact }}{{ end -}}
{{- $either := list -}}
{{- range $selectors }}{{ $either = append $either (printf "(%s)" (include "blastdoor.admission.selector" .)) }}{{ end -}}
{{- if $either }}{{ $terms = append $terms (printf "(%s)" (join " || " $either)) }}{{ end -}}
{{- with .listener.classes }}{{ $terms = append $terms (include "blastdoor.admission.classes" .) }}{{ end -}}
{{- with .ingressClasses }}{{ $terms = append $terms (include "blastdoor.admission.classes" .) }}{{ end -}}
{{- join " && " $terms -}}
{{- end -}}

{{/* Doors by their conditions, as YAML. What is rendered into listeners.toml is read here, so that both say the same. */}}
{{- define "blastdoor.admission.doors" -}}
{{- $root := . -}}
{{- $context := include "blastdoor.context" . | fromYaml -}}
{{- $ingressClasses := .Values.ingressClasses | default (.Values.config.source | default dict).ingress_class -}}
{{- $doors := dict -}}
{{- range $name, $door := $context.doors -}}
{{- $part := dict -}}
{{- range $context.parts }}{{ if has $name .doors }}{{ $part = . }}{{ end }}{{ end -}}
{{- $listener := include "blastdoor.listener" (dict "root" $root "door" $door "secrets" $part.values.secrets) | fromYaml -}}
{{- $_ := set $doors $name (include "blastdoor.admission.chooses" (dict "listener" $listener "ingressClasses" $ingressClasses)) -}}
{{- end -}}
{{- toYaml $doors -}}
{{- end -}}

{{/* What no policy can stand for fails here. */}}
{{- define "blastdoor.admission.checks" -}}
{{- $values := .Values.admissionPolicies -}}
{{- if semverCompare "<1.30.0-0" .Capabilities.KubeVersion.Version }}{{ fail (printf "admissionPolicies.enabled: this cluster is Kubernetes %s, and ValidatingAdmissionPolicy is stable from 1.30; restrict doors with `doors.NAME.namespaces` and `doors.NAME.hosts` instead" .Capabilities.KubeVersion.Version) }}{{ end -}}
{{- if and (has "Deny" $values.validationActions) (has "Warn" $values.validationActions) }}{{ fail "admissionPolicies.validationActions: Kubernetes allows `Deny` and `Warn` only one without the other; write [Warn, Audit] or [Deny, Audit]" }}{{ end -}}
{{- $names := keys (include "blastdoor.context" . | fromYaml).doors -}}
{{- range $rule := list "namespaces" "hosts" -}}
{{- range (index $values $rule).doors -}}
{{- if not (has . $names) }}{{ fail (printf "admissionPolicies.%s.doors: there is no door `%s`; there are %s" $rule . (join ", " (sortAlpha $names))) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- range $names -}}
{{- if gt (len .) 57 }}{{ fail (printf "admissionPolicies: the name of door `%s` is too long for the label `blastdoor.dev/allow-%s`; 57 characters fit" . .) }}{{ end -}}
{{- end -}}
{{- range .Values.extraEnv -}}
{{- if regexMatch "^BLASTDOOR_(LISTENERS__.+__(SELECTOR|CLASSES)|SOURCE__INGRESS_CLASS|CONFIG)$" (.name | default "") }}{{ fail (printf "extraEnv: %s would change which Ingresses a door admits, and the admission policies would not know; set it in `doors` or `ingressClasses`" .name) }}{{ end -}}
{{- end -}}
{{- if .Values.extraEnvFrom }}{{ fail "extraEnvFrom: what is in it could change which Ingresses a door admits (BLASTDOOR_LISTENERS__…), and the admission policies would not know; name single variables in extraEnv" }}{{ end -}}
{{- range .Values.extraArgs -}}
{{- if hasPrefix "--config" (toString .) }}{{ fail "extraArgs: with `--config` the admission policies would not know which Ingresses a door admits; set `doors` instead" }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* A policy of a binding of its own: (dict "root" $ "name" … "selector" namespaces or none). */}}
{{- define "blastdoor.admission.binding" -}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  {{- include "blastdoor.metadata" (dict "root" .root "name" .name "namespace" false) | nindent 2 }}
spec:
  policyName: {{ .name }}
  validationActions: {{ toJson .root.Values.admissionPolicies.validationActions }}
  {{- with .namespaces }}
  matchResources:
    namespaceSelector:
      matchExpressions:
      - {key: kubernetes.io/metadata.name, operator: In, values: {{ toJson . }}}
  {{- end }}
{{- end -}}
