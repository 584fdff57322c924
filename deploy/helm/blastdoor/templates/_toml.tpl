{{/* A value in TOML, on one line. Numbers of YAML arrive as floats. */}}
{{- define "blastdoor.toml" -}}
{{- if kindIs "map" . -}}
{{- $fields := list -}}
{{- range $key, $value := . -}}
{{- if not (kindIs "invalid" $value) -}}
{{- $fields = append $fields (printf "%s = %s" (include "blastdoor.tomlKey" $key) (include "blastdoor.toml" $value)) -}}
{{- end -}}
{{- end -}}
{{- if $fields }}{ {{ join ", " $fields }} }{{ else }}{}{{ end -}}
{{- else if kindIs "slice" . -}}
{{- $elements := list -}}
{{- range . }}{{ $elements = append $elements (include "blastdoor.toml" .) }}{{ end -}}
[{{ join ", " $elements }}]
{{- else if kindIs "float64" . -}}
{{- if or (ge . 9007199254740992.0) (le . -9007199254740992.0) }}{{ fail (printf "config: %v is beyond 2^53, from where on Helm rounds whole numbers; write a smaller one" .) }}{{ end -}}
{{- if eq (floor .) . }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- else if or (kindIs "bool" .) (kindIs "int64" .) (kindIs "int" .) -}}
{{- . -}}
{{- else -}}
{{- toRawJson (toString .) -}}
{{- end -}}
{{- end -}}

{{/* A key in TOML. */}}
{{- define "blastdoor.tomlKey" -}}
{{- if regexMatch "^[A-Za-z0-9_-]+$" . }}{{ . }}{{ else }}{{ toRawJson . }}{{ end -}}
{{- end -}}

{{/* The keys of a section, each on its line: first those of `first`, then all others by name. (dict "section" … "first" list) */}}
{{- define "blastdoor.tomlSection" -}}
{{- $section := .section -}}
{{- range .first -}}
{{- if hasKey $section . -}}
{{- if not (kindIs "invalid" (index $section .)) }}
{{ include "blastdoor.tomlKey" . }} = {{ include "blastdoor.toml" (index $section .) }}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $first := .first -}}
{{- range $key, $value := $section -}}
{{- if and (not (has $key $first)) (not (kindIs "invalid" $value)) }}
{{ include "blastdoor.tomlKey" $key }} = {{ include "blastdoor.toml" $value }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* `namespace/name`, in the gateway's own namespace if there is none: (dict "root" $ "name" …). */}}
{{- define "blastdoor.qualified" -}}
{{- if contains "/" .name }}{{ .name }}{{ else }}{{ printf "%s/%s" .root.Release.Namespace .name }}{{ end -}}
{{- end -}}

{{/* Where a mounted certificate is. */}}
{{- define "blastdoor.mountedAt" -}}/etc/blastdoor-certificates/{{ . }}{{- end -}}

{{/* A door in listeners.toml, as YAML: (dict "root" $ "door" … "reads" whether any part reads Secrets). */}}
{{- define "blastdoor.listener" -}}
{{- $root := .root -}}
{{- $door := .door -}}
{{- $listener := dict -}}
{{- with $door.bind }}{{ $_ := set $listener "bind" . }}{{ end -}}
{{- range $key, $name := (include "blastdoor.listenerKeys" . | fromYaml) -}}
{{- with index $door $key }}{{ $_ := set $listener $name . }}{{ end -}}
{{- end -}}
{{- if eq ($listener.behind | default "none") "none" }}{{ $_ := unset $listener "behind" }}{{ end -}}
{{- $_ := set $listener "drain" (dict "wait" (include "blastdoor.duration" $door.drainWait) "timeout" (include "blastdoor.duration" $door.drainTimeout)) -}}
{{- with include "blastdoor.published" . | fromYaml }}{{ $_ := set $listener "publish" . }}{{ end -}}
{{- if $door.tls.enabled -}}
{{- $tls := dict -}}
{{- if .reads }}{{ $_ := set $tls "certificates" "ingress" }}{{ end -}}
{{- with $door.tls.defaultCertificate -}}
{{- if kindIs "string" . -}}
{{- $_ := set $tls "default_certificate" . -}}
{{- else if .mounted -}}
{{- $folder := include "blastdoor.mountedAt" .mounted -}}
{{- $_ := set $tls "default_certificate" (dict "cert" (printf "%s/tls.crt" $folder) "key" (printf "%s/tls.key" $folder)) -}}
{{- else if .secret -}}
{{- $_ := set $tls "default_certificate" (dict "secret" (include "blastdoor.qualified" (dict "root" $root "name" .secret))) -}}
{{- else -}}
{{- $_ := set $tls "default_certificate" . -}}
{{- end -}}
{{- end -}}
{{- with $door.tls.minVersion }}{{ $_ := set $tls "min_version" . }}{{ end -}}
{{- if ne $door.tls.clientAuth.mode "off" -}}
{{- $ca := $door.tls.clientAuth.ca -}}
{{- if $ca.secret }}{{ $ca = dict "secret" (include "blastdoor.qualified" (dict "root" $root "name" $ca.secret)) }}{{ end -}}
{{- if $ca.mounted }}{{ $ca = dict "file" (printf "%s/ca.crt" (include "blastdoor.mountedAt" $ca.mounted)) }}{{ end -}}
{{- $_ := set $tls "client_auth" (dict "mode" $door.tls.clientAuth.mode "ca" $ca) -}}
{{- end -}}
{{- $_ := set $listener "tls" $tls -}}
{{- end -}}
{{- toYaml (mergeOverwrite $listener (deepCopy ($door.config | default dict))) -}}
{{- end -}}

{{/* Values of a door, and the keys of listeners.toml that they become. */}}
{{- define "blastdoor.listenerKeys" -}}
selector: selector
classes: classes
scheme: scheme
behind: behind
clientIP: client_ip
trustedProxies: trusted_proxies
trustedProxiesFile: trusted_proxies_file
proxyProtocol: proxy_protocol
redirect: redirect
healthPath: health_path
idleTimeout: idle_timeout
namespaces: namespaces
hosts: hosts
overlap: overlap
{{- end -}}

{{/* Seconds as a duration. */}}
{{- define "blastdoor.duration" -}}
{{- if eq (floor .) . }}{{ int64 . }}s{{ else }}{{ mulf . 1000 | int64 }}ms{{ end -}}
{{- end -}}

{{/* What a door publishes, as YAML: what is set, else the load balancer in front of it. (dict "root" $ "door" …) */}}
{{- define "blastdoor.published" -}}
{{- $publish := .door.publish -}}
{{- if $publish.hostname -}}
{{- toYaml (dict "hostname" $publish.hostname) -}}
{{- else if $publish.ip -}}
{{- toYaml (dict "ip" $publish.ip) -}}
{{- else if $publish.service -}}
{{- toYaml (dict "service" $publish.service) -}}
{{- else if $publish.auto -}}
{{- $full := include "blastdoor.fullname" .root -}}
{{- $horizon := mergeOverwrite (deepCopy .root.Values.serviceDefaults) (deepCopy (index .root.Values.services .door.horizon | default dict)) -}}
{{- if and .door.serviceRendered (eq .door.service.type "LoadBalancer") -}}
{{- toYaml (dict "service" (printf "%s/%s-%s" .root.Release.Namespace $full .door.name)) -}}
{{- else if and $horizon.enabled (eq $horizon.type "LoadBalancer") -}}
{{- toYaml (dict "service" (printf "%s/%s-%s" .root.Release.Namespace $full .door.horizon)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
`secrets` in [source] of a part: (dict "scope" … "reads" whether any part reads Secrets). A part that reads none still has the
doors of the others in its configuration, for which `none` would be an error. `auto` asks for nothing that no door of the part
needs, and the part has no right to read any.
*/}}
{{- define "blastdoor.secretsMode" -}}
{{- ternary (index (dict "none" "auto" "mounted" "auto" "named" "named" "namespaces" "named" "cluster" "cluster") .scope) "none" .reads -}}
{{- end -}}

{{/* listeners.toml. */}}
{{- define "blastdoor.listeners" -}}
{{- $root := . -}}
{{- $context := include "blastdoor.context" . | fromYaml -}}
{{- include "blastdoor.tomlFixed" (dict "root" . "context" $context) }}
{{- range $name, $door := $context.doors }}

[listeners.{{ $name }}]
{{- $listener := include "blastdoor.listener" (dict "root" $root "door" $door "reads" $context.readsSecrets) | fromYaml }}
{{- include "blastdoor.tomlSection" (dict "section" (omit $listener "tls") "first" (list "bind" "selector" "classes" "scheme" "behind" "client_ip" "trusted_proxies" "trusted_proxies_file" "proxy_protocol" "redirect" "health_path" "idle_timeout" "drain" "publish")) }}
{{- if hasKey $listener "tls" }}

[listeners.{{ $name }}.tls]
{{- include "blastdoor.tomlSection" (dict "section" $listener.tls "first" (list "certificates" "default_certificate" "min_version" "client_auth")) }}
{{- end }}
{{- end }}
{{- end -}}

{{/* What a running gateway does not take over without a restart: [source], [admin], [log], [process], [tracing]. */}}
{{- define "blastdoor.tomlFixed" -}}
{{- $values := .root.Values -}}
{{- $source := deepCopy ($values.config.source | default dict) -}}
{{- $_ := set $source "kind" "kubernetes" -}}
{{- if eq $values.topology "single" -}}
{{- $part := first .context.parts -}}
{{- $_ := set $source "secrets" (include "blastdoor.secretsMode" (dict "scope" $part.values.secrets.scope "reads" .context.readsSecrets)) -}}
{{- with $part.values.watchNamespaces }}{{ $_ := set $source "namespaces" . }}{{ end -}}
{{- end -}}
{{- if not (hasKey $source "replicas") -}}
{{- $replicas := dict "services" (list (printf "%s/%s" .root.Release.Namespace (include "blastdoor.fullname" .root))) -}}
{{- if include "blastdoor.hasHostPorts" .root | eq "true" }}{{ $_ := set $replicas "host_ports" true }}{{ end -}}
{{- $_ := set $source "replicas" $replicas -}}
{{- end -}}
{{- with $values.ingressClasses }}{{ $_ := set $source "ingress_class" . }}{{ end -}}
[source]
{{- include "blastdoor.tomlSection" (dict "section" $source "first" (list "kind" "namespaces" "secrets" "replicas" "ingress_class")) }}
{{- if .context.admin.bind }}

[admin]
bind = {{ .context.admin.bind | quote }}
{{- end }}
{{- range $name, $section := omit $values.config "source" }}

[{{ $name }}]
{{- include "blastdoor.tomlSection" (dict "section" $section "first" list) }}
{{- end }}
{{- end -}}
