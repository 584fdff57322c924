{{/* A Role and its binding: (dict "root" $ "part" … "name" … "namespace" … "rules" text). */}}
{{- define "blastdoor.role" }}
{{- $labels := dict "app.kubernetes.io/component" .part.name }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  {{- include "blastdoor.metadata" (dict "root" .root "name" .name "namespace" .namespace "labels" $labels) | nindent 2 }}
rules:
{{- .rules | nindent 0 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  {{- include "blastdoor.metadata" (dict "root" .root "name" .name "namespace" .namespace "labels" $labels) | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ .name | toYaml }}
subjects:
- kind: ServiceAccount
  name: {{ .part.account | toYaml }}
  namespace: {{ .root.Release.Namespace | toYaml }}
{{- end }}

{{/* What the gateway reads wherever it looks for Ingresses, and what it writes there: (dict "writes" whether a door publishes). */}}
{{- define "blastdoor.watchRules" -}}
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [services]
  verbs: [list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
# For Ingresses that name Middlewares of Traefik. The cluster need not know that kind.
- apiGroups: [traefik.io]
  resources: [middlewares]
  verbs: [list, watch]
# To tell users what is wrong with their Ingresses.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- if .writes }}
# For doors that publish an address.
- apiGroups: [networking.k8s.io]
  resources: [ingresses/status]
  verbs: [patch]
{{- end }}
{{- end -}}

{{/* All Secrets, wherever the role applies. */}}
{{- define "blastdoor.allSecrets" -}}
- apiGroups: [""]
  resources: [secrets]
  verbs: [list, watch]
{{- end -}}

{{- define "blastdoor.leaseRules" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ .name | toYaml }}]
  verbs: [get, update]
{{- end -}}

{{/* Where the other pods of the gateway are: `[source] replicas`. */}}
{{- define "blastdoor.replicaRules" -}}
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
{{- end -}}

{{/* Rules for Secrets and ConfigMaps of single namespaces, as YAML: namespace → rules. */}}
{{- define "blastdoor.namedRules" -}}
{{- $root := .root -}}
{{- $context := .context -}}
{{- $secrets := .part.values.secrets -}}
{{- $names := dict -}}
{{- if eq $secrets.scope "named" -}}
{{- range $namespace, $list := $secrets.named }}{{ $_ := set $names $namespace $list }}{{ end -}}
{{- end -}}
{{- /* With all Secrets of the cluster, those of doors are among them. */ -}}
{{- $all := and (eq $secrets.scope "cluster") (not .part.values.watchNamespaces) -}}
{{- if not (or $all (has $secrets.scope (list "none" "mounted"))) -}}
{{- range .part.doors -}}
{{- $tls := (index $context.doors .).tls -}}
{{- if $tls.enabled -}}
{{- $wanted := list -}}
{{- if kindIs "map" $tls.defaultCertificate }}{{ with $tls.defaultCertificate.secret }}{{ $wanted = append $wanted . }}{{ end }}{{ end -}}
{{- if ne $tls.clientAuth.mode "off" }}{{ with $tls.clientAuth.ca.secret }}{{ $wanted = append $wanted . }}{{ end }}{{ end -}}
{{- range $wanted -}}
{{- $at := include "blastdoor.qualified" (dict "root" $root "name" .) | splitList "/" -}}
{{- $_ := set $names (first $at) (append (index $names (first $at) | default list) (last $at) | uniq) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $rules := dict -}}
{{- range $namespace, $list := $names -}}
{{- $rule := dict "apiGroups" (list "") "resources" (list "secrets") "resourceNames" ($list | sortAlpha) "verbs" (list "list" "watch") -}}
{{- $_ := set $rules $namespace (list $rule) -}}
{{- end -}}
{{- if eq $secrets.scope "namespaces" -}}
{{- range $secrets.namespaces -}}
{{- $rule := dict "apiGroups" (list "") "resources" (list "secrets") "verbs" (list "list" "watch") -}}
{{- $_ := set $rules . (list $rule) -}}
{{- end -}}
{{- end -}}
{{- range $namespace, $list := .part.values.configMaps -}}
{{- $rule := dict "apiGroups" (list "") "resources" (list "configmaps") "resourceNames" $list "verbs" (list "list" "watch") -}}
{{- $_ := set $rules $namespace (append (index $rules $namespace | default list) $rule) -}}
{{- end -}}
{{- toYaml $rules -}}
{{- end -}}
