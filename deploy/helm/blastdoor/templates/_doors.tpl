{{/*
What all templates work with, as YAML: read it with `fromYaml`.

  doors   by name, each with all keys of `doorDefaults` and with what follows from them: `drainWait` and `drainTimeout` in
          seconds, `servicePort`, `bind` (empty: a variable of the pod says it), `serviceRendered`, `part`
  parts   the workloads: `name`, `workload`, `account`, `horizon` (empty: both), `doors`, `values`
  readsSecrets  whether any part reads Secrets
  surge   whether a new pod starts beside the old one on the node's network, so that pods declare no ports
  admin   `bind` (empty: a variable of the pod says it), `kind` (`any`, `node`, `unix`)
  grace   `terminationGracePeriodSeconds`
*/}}
{{- define "blastdoor.context" -}}
{{- $root := . -}}
{{- $values := .Values -}}
{{- $surge := include "blastdoor.surges" . | eq "true" -}}
{{- $doors := dict -}}
{{- range $name, $own := $values.doors -}}
{{- if $own -}}
{{- $door := mergeOverwrite (deepCopy $values.doorDefaults) (deepCopy $own) -}}
{{- if $door.enabled -}}
{{- $_ := set $door "name" $name -}}
{{- $seconds := index (include "blastdoor.drains" . | fromYaml) ($door.behind | default "none") | default (dict "wait" 5 "timeout" 30) -}}
{{- $_ := set $door "drainWait" (include "blastdoor.seconds" (dict "value" $door.drain.wait "default" $seconds.wait) | float64) -}}
{{- $_ := set $door "drainTimeout" (include "blastdoor.seconds" (dict "value" $door.drain.timeout "default" $seconds.timeout) | float64) -}}
{{- if not $door.servicePort }}{{ $_ := set $door "servicePort" (ternary 443 80 (eq $door.scheme "https")) }}{{ end -}}
{{- $address := $door.bindAddress -}}
{{- if not $address }}{{ $address = ternary "node" "[::]" (and $values.hostNetwork (eq $door.horizon "internal")) }}{{ end -}}
{{- $_ := set $door "bindAddress" $address -}}
{{- $_ := set $door "bind" (ternary "" (printf "%s:%d" $address (int $door.port)) (hasPrefix "node" $address)) -}}
{{- $_ := set $door "serviceRendered" (or $door.service.enabled $door.targetGroupBinding.enabled) -}}
{{- $part := "gateway" -}}
{{- if eq $values.topology "pair" }}{{ $part = $door.horizon }}{{ end -}}
{{- if eq $values.topology "four" }}{{ $part = $name }}{{ end -}}
{{- $_ := set $door "part" $part -}}
{{- $_ := set $doors $name $door -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $full := include "blastdoor.fullname" . -}}
{{- $parts := list -}}
{{- range $part := (include "blastdoor.partNames" (dict "doors" $doors "topology" $values.topology) | fromYamlArray) -}}
{{- $names := list -}}
{{- $horizon := "" -}}
{{- range $name, $door := $doors -}}
{{- if eq $door.part $part -}}
{{- $names = append $names $name -}}
{{- if ne $values.topology "single" }}{{ $horizon = $door.horizon }}{{ end -}}
{{- end -}}
{{- end -}}
{{- $suffix := ternary "" (printf "-%s" $part) (eq $values.topology "single") -}}
{{- $account := printf "%s%s" (default $full $values.serviceAccount.name) $suffix -}}
{{- $override := index ($values.parts | default dict) $part | default dict -}}
{{- $merged := mergeOverwrite (deepCopy (pick $values "replicaCount" "resources" "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" "priorityClassName" "podAnnotations" "podLabels" "autoscaling" "podDisruptionBudget" "serviceAccount" "watchNamespaces" "secrets" "configMaps")) $override -}}
{{- if $override.serviceAccount }}{{ if $override.serviceAccount.name }}{{ $account = $override.serviceAccount.name }}{{ end }}{{ end -}}
{{- $parts = append $parts (dict "name" $part "workload" (printf "%s%s" $full $suffix) "account" $account "horizon" $horizon "doors" $names "values" $merged) -}}
{{- end -}}
{{- $reads := false -}}
{{- range $parts }}{{ if not (has .values.secrets.scope (list "none" "mounted")) }}{{ $reads = true }}{{ end }}{{ end -}}
{{- $longest := 0.0 -}}
{{- range $doors -}}
{{- $sum := addf .drainWait .drainTimeout -}}
{{- if gt $sum $longest }}{{ $longest = $sum }}{{ end -}}
{{- end -}}
{{- $adminAddress := $values.admin.bindAddress -}}
{{- if not $adminAddress -}}
{{- $adminAddress = "[::]" -}}
{{- if $values.hostNetwork }}{{ $adminAddress = ternary "unix" "node" $surge }}{{ end -}}
{{- end -}}
{{- $admin := dict "address" $adminAddress "kind" "any" "bind" (printf "%s:%d" $adminAddress (int $values.admin.port)) -}}
{{- if eq $adminAddress "unix" }}{{ $admin = dict "address" $adminAddress "kind" "unix" "bind" (include "blastdoor.adminSocket" .) }}{{ end -}}
{{- if hasPrefix "node" $adminAddress }}{{ $admin = dict "address" $adminAddress "kind" "node" "bind" "" }}{{ end -}}
{{- $grace := ceil (addf $longest 15) | int -}}
{{- if kindIs "invalid" $values.terminationGracePeriodSeconds | not }}{{ $grace = int $values.terminationGracePeriodSeconds }}{{ end -}}
{{- toYaml (dict "doors" $doors "parts" $parts "readsSecrets" $reads "surge" $surge "admin" $admin "longest" $longest "grace" $grace) -}}
{{- end -}}

{{/* Where the admin port is if it is none. */}}
{{- define "blastdoor.adminSocket" -}}unix:/run/blastdoor/admin.sock{{- end -}}

{{/* The names of the parts, in order. */}}
{{- define "blastdoor.partNames" -}}
{{- $names := list -}}
{{- range $name, $door := .doors -}}
{{- $names = append $names $door.part -}}
{{- end -}}
{{- toYaml ($names | uniq | sortAlpha) -}}
{{- end -}}

{{/* The drain of each `behind`, in seconds: the gateway's own defaults. */}}
{{- define "blastdoor.drains" -}}
none: {wait: 5, timeout: 30}
alb: {wait: 25, timeout: 60}
nlb: {wait: 150, timeout: 90}
nlb-proxy-v2: {wait: 150, timeout: 90}
gclb: {wait: 40, timeout: 60}
cloudflare: {wait: 2, timeout: 30}
{{- end -}}

{{/* A duration in seconds: (dict "value" "25s" "default" 5). */}}
{{- define "blastdoor.seconds" -}}
{{- $value := .value | toString -}}
{{- if not .value -}}
{{- .default -}}
{{- else if hasSuffix "ms" $value -}}
{{- divf (trimSuffix "ms" $value | float64) 1000 -}}
{{- else if hasSuffix "s" $value -}}
{{- trimSuffix "s" $value -}}
{{- else if hasSuffix "m" $value -}}
{{- mulf (trimSuffix "m" $value | float64) 60 -}}
{{- else -}}
{{- mulf (trimSuffix "h" $value | float64) 3600 -}}
{{- end -}}
{{- end -}}

{{/* The update strategy, as YAML. */}}
{{- define "blastdoor.updateStrategy" -}}
{{- $hostPorts := include "blastdoor.hasHostPorts" . | eq "true" -}}
{{- if .Values.updateStrategy -}}
{{- $type := .Values.updateStrategy.type | default "RollingUpdate" -}}
{{- $strategy := dict "type" $type -}}
{{- /* Kubernetes refuses `rollingUpdate` with any other type, and a preset may have set it. What is left out is what Kubernetes makes of it, written down so that the chart knows it. */ -}}
{{- if eq $type "RollingUpdate" -}}
{{- $own := .Values.updateStrategy.rollingUpdate | default dict -}}
{{- $daemons := eq .Values.kind "DaemonSet" -}}
{{- $surge := ternary 0 "25%" $daemons -}}
{{- if not (kindIs "invalid" $own.maxSurge) }}{{ $surge = $own.maxSurge }}{{ end -}}
{{- $unavailable := ternary (ternary 1 0 (regexMatch "^0+%?$" (toString $surge))) "25%" $daemons -}}
{{- if not (kindIs "invalid" $own.maxUnavailable) }}{{ $unavailable = $own.maxUnavailable }}{{ end -}}
{{- $_ := set $strategy "rollingUpdate" (dict "maxSurge" $surge "maxUnavailable" $unavailable) -}}
{{- end -}}
{{- toYaml $strategy -}}
{{- else if $hostPorts -}}
type: RollingUpdate
rollingUpdate: {maxUnavailable: 1, maxSurge: 0}
{{- else -}}
type: RollingUpdate
rollingUpdate: {maxUnavailable: 0, maxSurge: 1}
{{- end -}}
{{- end -}}

{{/* Whether a new pod starts beside the old one on the node's network. */}}
{{- define "blastdoor.surges" -}}
{{- $strategy := include "blastdoor.updateStrategy" . | fromYaml -}}
{{- $surge := toString (($strategy.rollingUpdate | default dict).maxSurge | default 0) -}}
{{- if and .Values.hostNetwork (not (regexMatch "^0+%?$" $surge)) }}true{{ else }}false{{ end -}}
{{- end -}}

{{/* Whether a door or the admin port has a port of the node. */}}
{{- define "blastdoor.hasHostPorts" -}}
{{- $has := not (not .Values.admin.hostPort) -}}
{{- $values := .Values -}}
{{- range $name, $own := $values.doors -}}
{{- if $own -}}
{{- if (mergeOverwrite (deepCopy $values.doorDefaults) (deepCopy $own)).hostPort }}{{ $has = true }}{{ end -}}
{{- end -}}
{{- end -}}
{{- $has -}}
{{- end -}}

{{/* The variable of a door's address: BLASTDOOR_LISTENERS__EXTERNAL_HTTP__BIND. */}}
{{- define "blastdoor.bindVariable" -}}
BLASTDOOR_LISTENERS__{{ . | upper | replace "-" "_" }}__BIND
{{- end -}}

{{/* By what a Service finds the pods of a horizon or of a part: (dict "root" $ "horizon" … "part" …). */}}
{{- define "blastdoor.podSelector" -}}
{{ include "blastdoor.selectorLabels" .root }}
{{- if ne .root.Values.topology "single" }}
{{- if .part }}
app.kubernetes.io/component: {{ .part }}
{{- else if .horizon }}
blastdoor.dev/horizon: {{ .horizon }}
{{- end }}
{{- end }}
{{- end -}}
