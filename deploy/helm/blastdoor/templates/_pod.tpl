{{/* The template of pods: (dict "root" $ "context" … "part" …). */}}
{{- define "blastdoor.pod" -}}
{{- $root := .root -}}
{{- $values := .root.Values -}}
{{- $context := .context -}}
{{- $part := .part -}}
metadata:
  labels:
    {{- $labels := include "blastdoor.labels" $root | fromYaml }}
    {{- $_ := unset $labels "helm.sh/chart" }}
    {{- $_ := set $labels "app.kubernetes.io/component" $part.name }}
    {{- with $part.horizon }}{{ $_ := set $labels "blastdoor.dev/horizon" . }}{{ end }}
    {{- toYaml (mergeOverwrite (deepCopy ($part.values.podLabels | default dict)) $labels) | nindent 4 }}
  annotations:
    # Of listeners.toml only what a running gateway does not take over by itself.
    checksum/restart: {{ include "blastdoor.tomlFixed" (dict "root" $root "context" $context) | sha256sum }}
    {{- with mergeOverwrite (deepCopy ($values.commonAnnotations | default dict)) ($part.values.podAnnotations | default dict) }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ $part.account | toYaml }}
  automountServiceAccountToken: {{ $values.serviceAccount.automount }}
  enableServiceLinks: false
  {{- with $values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $part.values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $values.runtimeClassName }}
  runtimeClassName: {{ . }}
  {{- end }}
  terminationGracePeriodSeconds: {{ $context.grace }}
  {{- if $values.hostNetwork }}
  hostNetwork: true
  {{- end }}
  {{- $dns := default (ternary "ClusterFirstWithHostNet" "" $values.hostNetwork) $values.dnsPolicy }}
  {{- with $dns }}
  dnsPolicy: {{ . }}
  {{- end }}
  {{- with $values.dnsConfig }}
  dnsConfig:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- $security := deepCopy ($values.podSecurityContext | default dict) }}
  {{- if eq $values.privilegedPorts "pod" }}
  {{- $sysctl := dict "name" "net.ipv4.ip_unprivileged_port_start" "value" "0" }}
  {{- $others := list }}
  {{- range $security.sysctls }}{{ if ne .name $sysctl.name }}{{ $others = append $others . }}{{ end }}{{ end }}
  {{- $_ := set $security "sysctls" (append $others $sysctl) }}
  {{- end }}
  {{- with $security }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $part.values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $part.values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- $labels := dict "app.kubernetes.io/name" (include "blastdoor.name" $root) "app.kubernetes.io/instance" $root.Release.Name "app.kubernetes.io/component" $part.name }}
  {{- if $part.values.affinity }}
  affinity:
    {{- toYaml $part.values.affinity | nindent 4 }}
  {{- else if eq $values.kind "Deployment" }}
  affinity:
    podAntiAffinity:
      preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- toYaml $labels | nindent 14 }}
  {{- end }}
  {{- if $part.values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml $part.values.topologySpreadConstraints | nindent 4 }}
  {{- else if eq $values.kind "Deployment" }}
  topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: topology.kubernetes.io/zone
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- toYaml $labels | nindent 8 }}
  {{- end }}
  {{- with $values.extraInitContainers }}
  initContainers:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
  - name: blastdoor
    image: {{ include "blastdoor.image" $root | quote }}
    imagePullPolicy: {{ $values.image.pullPolicy }}
    {{- if or (ne $values.topology "single") $values.extraArgs }}
    args:
    - run
    {{- if ne $values.topology "single" }}
    - --doors
    - {{ join "," $part.doors | quote }}
    {{- end }}
    {{- range $values.extraArgs }}
    - {{ . | quote }}
    {{- end }}
    {{- end }}
    env:
    - name: BLASTDOOR_CONFIG
      value: /etc/blastdoor/listeners.toml
    # The holder of the Lease; the name of the installation, which is the workload's, is derived from it.
    - name: POD_NAME
      valueFrom: {fieldRef: {fieldPath: metadata.name}}
    - name: POD_NAMESPACE
      valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
    {{- include "blastdoor.environment" . | nindent 4 }}
    {{- with $values.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- with $values.extraEnvFrom }}
    envFrom:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- if not $context.surge }}
    ports:
    {{- range $part.doors }}
    {{- $door := index $context.doors . }}
    - name: {{ . }}
      containerPort: {{ int $door.port }}
      protocol: TCP
      {{- with $door.hostPort }}
      hostPort: {{ int . }}
      {{- end }}
    {{- end }}
    {{- if ne $context.admin.kind "unix" }}
    - name: admin
      containerPort: {{ int $values.admin.port }}
      protocol: TCP
      {{- with $values.admin.hostPort }}
      hostPort: {{ int . }}
      {{- end }}
    {{- end }}
    {{- end }}
    {{- include "blastdoor.probe" (dict "root" $root "context" $context "name" "livenessProbe" "path" "/livez" "period" 10 "timeout" 5) | nindent 4 }}
    {{- include "blastdoor.probe" (dict "root" $root "context" $context "name" "readinessProbe" "path" "/readyz" "period" 2 "timeout" 2) | nindent 4 }}
    {{- with $values.startupProbe }}
    startupProbe:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with $part.values.resources }}
    resources:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- $container := deepCopy ($values.securityContext | default dict) }}
    {{- if eq $values.privilegedPorts "netbind" }}
    {{- $capabilities := $container.capabilities | default dict }}
    {{- $_ := set $capabilities "add" (append ($capabilities.add | default list) "NET_BIND_SERVICE" | uniq) }}
    {{- $_ := set $container "capabilities" $capabilities }}
    {{- end }}
    {{- with $container }}
    securityContext:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    volumeMounts:
    - name: config
      mountPath: /etc/blastdoor
      readOnly: true
    {{- if eq $context.admin.kind "unix" }}
    - name: admin
      mountPath: /run/blastdoor
    {{- end }}
    {{- range $name, $volume := $part.values.secrets.mounted }}
    - name: certificate-{{ $name }}
      mountPath: {{ include "blastdoor.mountedAt" $name }}
      readOnly: true
    {{- end }}
    {{- with $values.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $values.extraContainers }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  volumes:
  - name: config
    configMap:
      name: {{ include "blastdoor.fullname" $root | toYaml }}
  {{- if eq $context.admin.kind "unix" }}
  - name: admin
    emptyDir:
      medium: Memory
      sizeLimit: 1Mi
  {{- end }}
  {{- range $name, $volume := $part.values.secrets.mounted }}
  - name: certificate-{{ $name }}
    {{- toYaml $volume | nindent 4 }}
  {{- end }}
  {{- with $values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* Variables of the gateway: addresses of the node, and what differs from part to part. */}}
{{- define "blastdoor.environment" -}}
{{- $values := .root.Values -}}
{{- $context := .context -}}
{{- $node := list -}}
{{- if eq $context.admin.kind "node" -}}
{{- $node = append $node (dict "name" "BLASTDOOR_ADMIN__BIND" "address" $context.admin.address "port" $values.admin.port) -}}
{{- end -}}
{{- range $name, $door := $context.doors -}}
{{- if not $door.bind -}}
{{- $node = append $node (dict "name" (include "blastdoor.bindVariable" $name) "address" $door.bindAddress "port" $door.port) -}}
{{- end -}}
{{- end -}}
{{- if $node }}
# The node's address as Kubernetes knows it (INTERNAL-IP in `kubectl get nodes -o wide`), which must be private.
- name: NODE_IP
  valueFrom: {fieldRef: {fieldPath: status.hostIP}}
{{- end }}
{{- range $node }}
- name: {{ .name }}
  value: {{ printf (ternary "[$(NODE_IP)]:%d" "$(NODE_IP):%d" (eq .address "node-ipv6")) (int .port) | quote }}
{{- end }}
{{- if ne $values.topology "single" }}
- name: BLASTDOOR_SOURCE__SECRETS
  value: {{ include "blastdoor.secretsMode" (dict "scope" .part.values.secrets.scope "reads" $context.readsSecrets) }}
{{- with .part.values.watchNamespaces }}
- name: BLASTDOOR_SOURCE__NAMESPACES
  value: {{ include "blastdoor.toml" . | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* A probe of the admin port. With `--admin`, `health` reads no configuration: a mistake in the ConfigMap fails no probe. */}}
{{- define "blastdoor.probe" -}}
{{- $probe := dict "periodSeconds" .period "timeoutSeconds" .timeout -}}
{{- if eq .context.admin.kind "unix" -}}
{{- $command := list "/blastdoor" "health" "--admin" .context.admin.bind -}}
{{- if eq .path "/readyz" }}{{ $command = append $command "--ready" }}{{ end -}}
{{- $_ := set $probe "exec" (dict "command" $command) -}}
{{- $_ := set $probe "timeoutSeconds" 5 -}}
{{- if eq .path "/readyz" }}{{ $_ := set $probe "periodSeconds" 5 }}{{ end -}}
{{- else -}}
{{- $_ := set $probe "httpGet" (dict "path" .path "port" (ternary .root.Values.admin.port "admin" .context.surge)) -}}
{{- end -}}
{{- $own := index .root.Values .name | default dict -}}
{{- if or $own.exec $own.httpGet $own.tcpSocket $own.grpc }}{{ $probe = omit $probe "exec" "httpGet" }}{{ end -}}
{{ .name }}:
  {{- toYaml (mergeOverwrite $probe (deepCopy $own)) | nindent 2 }}
{{- end -}}
