{{/*
A Service in front of doors: (dict "root" $ "context" … "service" … "horizon" … "part" … "doors" … "name" … "key" …). The only
place that renders one, and its doors are those of one horizon: there is no way to write a list that mixes them.
*/}}
{{- define "blastdoor.service" }}
{{- $context := .context }}
{{- $service := .service }}
{{- include "blastdoor.checkService" . }}
{{- $headless := false }}
{{- if eq $service.type "ClusterIP" }}
{{- $headless = hasKey $service "headless" }}
{{- if not (kindIs "invalid" $service.headless) }}{{ $headless = $service.headless }}{{ end }}
{{- end }}
---
apiVersion: v1
kind: Service
metadata:
  {{- $labels := mergeOverwrite (deepCopy $service.labels) (dict "blastdoor.dev/horizon" .horizon) }}
  {{- include "blastdoor.metadata" (dict "root" .root "name" .name "labels" $labels "annotations" $service.annotations) | nindent 2 }}
spec:
  type: {{ $service.type }}
  {{- if $headless }}
  clusterIP: None
  {{- end }}
  {{- with $service.externalTrafficPolicy }}
  externalTrafficPolicy: {{ . }}
  {{- end }}
  {{- with $service.internalTrafficPolicy }}
  internalTrafficPolicy: {{ . }}
  {{- end }}
  {{- with $service.healthCheckNodePort }}
  healthCheckNodePort: {{ int . }}
  {{- end }}
  {{- with $service.loadBalancerClass }}
  loadBalancerClass: {{ . }}
  {{- end }}
  {{- with $service.loadBalancerSourceRanges }}
  loadBalancerSourceRanges:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if kindIs "bool" $service.allocateLoadBalancerNodePorts }}
  allocateLoadBalancerNodePorts: {{ $service.allocateLoadBalancerNodePorts }}
  {{- end }}
  {{- with $service.ipFamilyPolicy }}
  ipFamilyPolicy: {{ . }}
  {{- end }}
  {{- with $service.ipFamilies }}
  ipFamilies:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  selector:
    {{- include "blastdoor.podSelector" . | nindent 4 }}
  ports:
  {{- range .doors }}
  - name: {{ .name }}
    port: {{ int .servicePort }}
    # By name, so that only pods that run this door are behind it; pods that declare no ports have none.
    targetPort: {{ ternary (int .port) .name $context.surge }}
    protocol: TCP
    {{- if and .nodePort (ne $service.type "ClusterIP") }}
    nodePort: {{ int .nodePort }}
    {{- end }}
  {{- end }}
  {{- with $service.extraPorts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
