{{/*
Combinations that cannot work, each with what to do. `configmap.yaml` includes this, so it runs for every rendering. The order is
that of the values.
*/}}
{{- define "blastdoor.checks" -}}
{{- include "blastdoor.checkDoorFields" . -}}
{{- $context := include "blastdoor.context" . | fromYaml -}}
{{- if $context.Error }}{{ fail (printf "the chart cannot read its own values: %s" $context.Error) }}{{ end -}}
{{- $arguments := dict "root" . "context" $context -}}
{{- include "blastdoor.checkPods" $arguments -}}
{{- include "blastdoor.checkDoors" $arguments -}}
{{- include "blastdoor.checkBindings" $arguments -}}
{{- include "blastdoor.checkParts" $arguments -}}
{{- include "blastdoor.checkConfig" $arguments -}}
{{- end -}}

{{/* What every door must say; everything else relies on it. */}}
{{- define "blastdoor.checkDoorFields" -}}
{{- $values := .Values -}}
{{- $some := false -}}
{{- range $name, $own := $values.doors -}}
{{- if $own -}}
{{- $door := mergeOverwrite (deepCopy $values.doorDefaults) (deepCopy $own) -}}
{{- if $door.enabled -}}
{{- $some = true -}}
{{- if not $door.horizon }}{{ fail (printf "doors.%s.horizon is missing: say on which side of the wall the door is, internal or external" $name) }}{{ end -}}
{{- if not $door.port }}{{ fail (printf "doors.%s.port is missing: say on which port the process listens, such as 10004" $name) }}{{ end -}}
{{- if not $door.scheme }}{{ fail (printf "doors.%s.scheme is missing: say what clients speak, http or https" $name) }}{{ end -}}
{{- if not (or $door.selector $door.classes) }}{{ fail (printf "doors.%s admits nothing: set `selector`, `classes` or both" $name) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if not $some }}{{ fail "doors: there is no door; enable at least one" }}{{ end -}}
{{- end -}}

{{/* Pods, their network and their updates. */}}
{{- define "blastdoor.checkPods" -}}
{{- $values := .root.Values -}}
{{- $context := .context -}}
{{- $hostPorts := include "blastdoor.hasHostPorts" .root | eq "true" -}}
{{- $strategy := include "blastdoor.updateStrategy" .root | fromYaml -}}
{{- $rolling := $strategy.rollingUpdate | default (dict "maxSurge" 0 "maxUnavailable" 1) -}}
{{- $surge := toString $rolling.maxSurge -}}
{{- $surges := not (regexMatch "^0+%?$" $surge) -}}
{{- $stops := not (regexMatch "^0+%?$" (toString $rolling.maxUnavailable)) -}}
{{- if and (eq $values.kind "DaemonSet") $surges $stops -}}
{{- fail (printf "updateStrategy.rollingUpdate: maxSurge is %s and maxUnavailable %v, and Kubernetes allows a DaemonSet only one of them; set the other to 0" $surge $rolling.maxUnavailable) -}}
{{- end -}}
{{- if not (or $surges $stops) -}}
{{- fail "updateStrategy.rollingUpdate: maxSurge and maxUnavailable are both 0, so no update could go on; set one of them to 1" -}}
{{- end -}}
{{- if and $hostPorts $values.hostNetwork -}}
{{- fail "hostNetwork and hostPort exclude each other: on the node's network the doors' own ports are ports of the node; remove the hostPorts" -}}
{{- end -}}
{{- if and $hostPorts $surges -}}
{{- fail (printf "updateStrategy.rollingUpdate.maxSurge is %s, and a second pod never fits on a node whose host ports are taken: the update would hang; set maxUnavailable: 1 and maxSurge: 0" $surge) -}}
{{- end -}}
{{- if and (eq $values.kind "Deployment") $hostPorts -}}
{{- fail "kind: Deployment with hostPort: load balancers that check nodes need a pod on each of them; set kind: DaemonSet" -}}
{{- end -}}
{{- if and (eq $values.kind "DaemonSet") (eq ($strategy.type | default "RollingUpdate") "Recreate") -}}
{{- fail "updateStrategy.type is Recreate, which a DaemonSet does not know: use RollingUpdate or OnDelete" -}}
{{- end -}}
{{- if and (eq $values.kind "Deployment") (eq ($strategy.type | default "RollingUpdate") "OnDelete") -}}
{{- fail "updateStrategy.type is OnDelete, which a Deployment does not know: use RollingUpdate or Recreate" -}}
{{- end -}}
{{- if and $values.hostNetwork $values.dnsPolicy (ne $values.dnsPolicy "ClusterFirstWithHostNet") -}}
{{- fail (printf "dnsPolicy is %s with hostNetwork, so names of Services would be asked of the node's resolver; set ClusterFirstWithHostNet, or leave it empty" $values.dnsPolicy) -}}
{{- end -}}
{{- if and $context.surge (ne $context.admin.kind "unix") -}}
{{- fail "admin.bindAddress: during an update two pods share the node's network, and only one of them can have the admin port; set it to `unix`, or set updateStrategy.rollingUpdate to maxUnavailable: 1 and maxSurge: 0" -}}
{{- end -}}
{{- if and $values.hostNetwork (eq $context.admin.kind "any") (has $context.admin.address (list "[::]" "0.0.0.0")) -}}
{{- fail (printf "admin.bindAddress is %s on the node's network, so everybody who reaches the node would read its metrics and hosts; set it to `node` or `unix`" $context.admin.address) -}}
{{- end -}}
{{- if and (eq $context.admin.kind "unix") (or $values.metrics.podMonitor.enabled $values.metrics.serviceMonitor.enabled) -}}
{{- fail "metrics.podMonitor and metrics.serviceMonitor need the admin port, and here it is a socket in the pod; set admin.bindAddress: node and updateStrategy.rollingUpdate to maxUnavailable: 1 and maxSurge: 0, or do without metrics" -}}
{{- end -}}
{{- if and (eq $context.admin.kind "unix") $values.admin.hostPort -}}
{{- fail "admin.hostPort: the admin port is a socket in the pod; set admin.bindAddress, or remove the hostPort" -}}
{{- end -}}
{{- if and (ne $values.topology "single") $values.hostNetwork (not $context.surge) (ne $context.admin.kind "unix") -}}
{{- fail (printf "topology: %s on the node's network: the processes of a node cannot share the admin port %d; set admin.bindAddress: unix" $values.topology (int $values.admin.port)) -}}
{{- end -}}
{{- if and (ne $values.topology "single") $values.admin.hostPort -}}
{{- fail (printf "admin.hostPort with topology: %s: the pods of a node cannot share it; use `healthPath` of the doors for health checks" $values.topology) -}}
{{- end -}}
{{- range $name, $door := $context.doors -}}
{{- if lt (int $door.port) 1024 -}}
{{- if not (or $values.privilegedPorts (eq (($values.podSecurityContext | default dict).runAsUser | default 65532 | int) 0)) -}}
{{- fail (printf "doors.%s.port is %d, and a process without root may not listen below 1024: use a port from 1024 on (with hostPort %d if clients need that number), or say with `privilegedPorts` how it may: node (a sysctl of the nodes), pod (a sysctl of the pod) or netbind (the image variant)" $name (int $door.port) (int $door.port)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $list := list "extraContainers" "extraInitContainers" -}}
{{- range $container := index $values $list -}}
{{- range $container.ports -}}
{{- if or (hasKey $context.doors (toString .name)) (eq (toString .name) "admin") -}}
{{- fail (printf "%s: the port `%s` of container %s has the name of a port of the gateway, by which Services find it; give it another name" $list .name $container.name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $values.extraEnv -}}
{{- if regexMatch "^(BLASTDOOR_(LISTENERS__.+__BIND|ADMIN__BIND|CONFIG)|NODE_IP|POD_NAME|POD_NAMESPACE)$" (.name | default "" | upper) -}}
{{- fail (printf "extraEnv: %s would replace what the chart says to the gateway, and Services could lead to another door; use the values of doors and admin" .name) -}}
{{- end -}}
{{- end -}}
{{- range $key, $_ := $values.commonLabels -}}
{{- if has $key (list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component" "blastdoor.dev/horizon") -}}
{{- fail (printf "commonLabels: by %s Services and policies find the pods, so it cannot be replaced; use nameOverride, or another label" $key) -}}
{{- end -}}
{{- end -}}
{{- if regexMatch "^(127\\.|\\[?(0*:)+0*1\\]?$|localhost$)" $context.admin.address -}}
{{- fail (printf "admin.bindAddress is %s, where kubelet does not reach it, so no pod would become ready; set it to `unix`, or leave it empty" $context.admin.address) -}}
{{- end -}}
{{- if and (eq $values.privilegedPorts "pod") $values.hostNetwork -}}
{{- fail "privilegedPorts: pod sets a sysctl for the pod, which Kubernetes refuses on the node's network; set it on the nodes and write privilegedPorts: node" -}}
{{- end -}}
{{- $needed := addf $context.longest 5 -}}
{{- if lt (float64 $context.grace) $needed -}}
{{- fail (printf "terminationGracePeriodSeconds is %d, and the longest drain takes %v s (wait and timeout together): the pod would be killed while it serves; set at least %v, or leave it empty" (int $context.grace) $context.longest (ceil $needed)) -}}
{{- end -}}
{{- end -}}

{{/* The doors, one by one and together. */}}
{{- define "blastdoor.checkDoors" -}}
{{- $values := .root.Values -}}
{{- $context := .context -}}
{{- $ports := dict -}}
{{- $hostPorts := dict -}}
{{- $nodePorts := dict -}}
{{- $admitted := dict -}}
{{- if ne $context.admin.kind "unix" }}{{ $_ := set $ports (printf "%d" (int $values.admin.port)) "admin.port" }}{{ end -}}
{{- with $values.admin.hostPort }}{{ $_ := set $hostPorts (printf "%d" (int .)) "admin.hostPort" }}{{ end -}}
{{- range $name, $door := $context.doors -}}
{{- if has $name (list "admin" "dashboard" "doctor" "exposure" "external" "grants" "internal" "named" "pods" "test" "watch") -}}
{{- fail (printf "doors.%s: objects of the chart have this name already; give the door another one, such as %s-http" $name $name) -}}
{{- end -}}
{{- if has $name (list "n" "no" "null" "off" "on" "true" "false" "y" "yes") -}}
{{- fail (printf "doors.%s: in YAML this is no name but a value; give the door another one" $name) -}}
{{- end -}}
{{- $port := printf "%d" (int $door.port) -}}
{{- if hasKey $ports $port }}{{ fail (printf "doors.%s.port is %s, as is %s: each needs a port of its own" $name $port (index $ports $port)) }}{{ end -}}
{{- $_ := set $ports $port (printf "doors.%s.port" $name) -}}
{{- with $door.hostPort -}}
{{- $port := printf "%d" (int .) -}}
{{- if hasKey $hostPorts $port }}{{ fail (printf "doors.%s.hostPort is %s, as is %s: a node has each port once" $name $port (index $hostPorts $port)) }}{{ end -}}
{{- $_ := set $hostPorts $port (printf "doors.%s.hostPort" $name) -}}
{{- if and (eq $door.horizon "internal") (ne (int .) (int $door.port)) -}}
{{- fail (printf "doors.%s.hostPort is %d and its port is %d: for internal doors both must be the same, or tenants can name the host port as a backend" $name (int .) (int $door.port)) -}}
{{- end -}}
{{- end -}}
{{- with $door.nodePort -}}
{{- $port := printf "%d" (int .) -}}
{{- if hasKey $nodePorts $port }}{{ fail (printf "doors.%s.nodePort is %s, as is %s: a cluster has each node port once" $name $port (index $nodePorts $port)) }}{{ end -}}
{{- $_ := set $nodePorts $port (printf "doors.%s.nodePort" $name) -}}
{{- end -}}
{{- if $door.serviceRendered -}}
{{- $type := ternary "NodePort" $door.service.type (and (eq $door.service.type "ClusterIP") $door.targetGroupBinding.enabled (eq $door.targetGroupBinding.targetType "instance")) -}}
{{- $shared := mergeOverwrite (deepCopy $values.serviceDefaults) (deepCopy (index $values.services $door.horizon | default dict)) -}}
{{- if and $door.nodePort $shared.enabled (ne $shared.type "ClusterIP") (ne $type "ClusterIP") -}}
{{- fail (printf "doors.%s.nodePort is %d at two Services, services.%s and that of the door, and a cluster has each node port once; disable one of them, or make one ClusterIP" $name (int $door.nodePort) $door.horizon) -}}
{{- end -}}
{{- end -}}
{{- if not $door.overlap -}}
{{- $admits := dict "selector" $door.selector "classes" $door.classes | toJson -}}
{{- if hasKey $admitted $admits -}}
{{- fail (printf "doors.%s admits the same Ingresses as door %s: give each its own `selector` or `classes`, or set `overlap: true` on both" $name (index $admitted $admits)) -}}
{{- end -}}
{{- $_ := set $admitted $admits $name -}}
{{- end -}}
{{- if $door.redirect -}}
{{- if not (hasKey $context.doors $door.redirect) -}}
{{- fail (printf "doors.%s.redirect names `%s`, which is no door; there are: %s" $name $door.redirect (keys $context.doors | sortAlpha | join ", ")) -}}
{{- end -}}
{{- end -}}
{{- with $door.trustedProxiesFile -}}
{{- $files := keys ($values.configFiles | default dict) -}}
{{- if $values.cloudflare.enabled }}{{ $files = append $files "cloudflare.txt" }}{{ end -}}
{{- if not (or (hasPrefix "/" .) (has . $files)) -}}
{{- fail (printf "doors.%s.trustedProxiesFile is `%s`, and there is no such file: set cloudflare.enabled: true, or add it to configFiles" $name .) -}}
{{- end -}}
{{- end -}}
{{- if and (eq $door.scheme "http") $door.tls.enabled -}}
{{- fail (printf "doors.%s: tls.enabled with scheme: http; a door that terminates TLS has scheme: https" $name) -}}
{{- end -}}
{{- if and (ne $door.tls.clientAuth.mode "off") (not $door.tls.enabled) -}}
{{- fail (printf "doors.%s.tls.clientAuth is set and tls.enabled is not: client certificates need TLS at the door" $name) -}}
{{- end -}}
{{- if and (ne $door.tls.clientAuth.mode "off") (not $door.tls.clientAuth.ca) -}}
{{- fail (printf "doors.%s.tls.clientAuth.ca is missing: name the authorities, as {secret: NAME}, {mounted: NAME} or {file: FILE}" $name) -}}
{{- end -}}
{{- range $key := list "bind" "publish" "tls" "drain" -}}
{{- if hasKey $door.config $key -}}
{{- fail (printf "doors.%s.config.%s: the chart must know this; use the value of the door instead (port, bindAddress, publish, tls, drain)" $name $key) -}}
{{- end -}}
{{- end -}}
{{- range $key, $key2 := (include "blastdoor.listenerKeys" $ | fromYaml) -}}
{{- if hasKey $door.config $key2 -}}
{{- fail (printf "doors.%s.config.%s: write doors.%s.%s instead" $name $key2 $name $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- include "blastdoor.checkNodePorts" (dict "root" .root "nodePorts" $nodePorts) -}}
{{- end -}}

{{/* Node ports of Services that belong to no door: (dict "nodePorts" those of doors "root" $). */}}
{{- define "blastdoor.checkNodePorts" -}}
{{- $nodePorts := .nodePorts -}}
{{- range $horizon, $own := .root.Values.services -}}
{{- $service := mergeOverwrite (deepCopy $.root.Values.serviceDefaults) (deepCopy ($own | default dict)) -}}
{{- if and $service.enabled (ne $service.type "ClusterIP") -}}
{{- $further := list (dict "key" "healthCheckNodePort" "port" $service.healthCheckNodePort) -}}
{{- range $service.extraPorts }}{{ $further = append $further (dict "key" "extraPorts" "port" .nodePort) }}{{ end -}}
{{- range $further -}}
{{- if .port -}}
{{- $port := printf "%d" (int .port) -}}
{{- if hasKey $nodePorts $port }}{{ fail (printf "services.%s.%s: the node port %s is that of %s already; a cluster has each once" $horizon .key $port (index $nodePorts $port)) }}{{ end -}}
{{- $_ := set $nodePorts $port (printf "services.%s.%s" $horizon .key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Target groups. */}}
{{- define "blastdoor.checkBindings" -}}
{{- $values := .root.Values -}}
{{- $context := .context -}}
{{- $groups := list -}}
{{- $sources := dict -}}
{{- range $name, $door := $context.doors -}}
{{- $binding := $door.targetGroupBinding -}}
{{- if $binding.enabled -}}
{{- $group := default $binding.targetGroupName $binding.targetGroupARN -}}
{{- if not $group }}{{ fail (printf "doors.%s.targetGroupBinding: name the target group with targetGroupARN or targetGroupName" $name) }}{{ end -}}
{{- /* One door may name its group by ARN, and another by the name that is in the ARN. */ -}}
{{- $arn := $binding.targetGroupARN -}}
{{- $called := ternary (regexReplaceAll "^.*:targetgroup/([^/]*).*$" $arn "${1}") $binding.targetGroupName (not (empty $arn)) -}}
{{- range $groups -}}
{{- if and (eq .called $called) (or (not $arn) (not .arn) (eq .arn $arn)) -}}
{{- fail (printf "doors.%s.targetGroupBinding: %s is the target group of door %s already; a group leads to one door" $name $group .door) -}}
{{- end -}}
{{- end -}}
{{- $groups = append $groups (dict "called" $called "arn" $arn "door" $name) -}}
{{- range $key := list "targetGroupARN" "targetGroupName" "targetType" "serviceRef" "networking" "nodeSelector" "multiClusterTargetGroup" -}}
{{- if hasKey $binding.spec $key -}}
{{- fail (printf "doors.%s.targetGroupBinding.spec.%s: the chart writes this, so that the group leads to this door; use the values of targetGroupBinding (targetGroupARN, targetGroupName, targetType, securityGroups, cidrs, nodeSelector, multiClusterTargetGroup)" $name $key) -}}
{{- end -}}
{{- end -}}
{{- range concat $binding.securityGroups $binding.cidrs -}}
{{- $before := index $sources . | default dict -}}
{{- if and $before.horizon (ne $before.horizon $door.horizon) -}}
{{- fail (printf "doors.%s.targetGroupBinding: %s may reach an %s door and, by door %s, an %s one; load balancers of the two horizons must not share security groups or networks" $name . $door.horizon $before.door $before.horizon) -}}
{{- end -}}
{{- $_ := set $sources . (dict "horizon" $door.horizon "door" $name) -}}
{{- end -}}
{{- if and (eq $binding.targetType "instance") (eq $door.service.externalTrafficPolicy "Local") (eq $values.kind "Deployment") -}}
{{- fail (printf "doors.%s.service.externalTrafficPolicy is Local, and the target group registers nodes that have no pod of a Deployment: they drop the health check; set targetType: ip or kind: DaemonSet, or remove Local" $name) -}}
{{- end -}}
{{- if and (eq $binding.targetType "ip") $values.hostNetwork $context.surge (eq $context.admin.kind "unix") -}}
{{- fail (printf "doors.%s.targetGroupBinding: the health check needs the admin port, which is a socket in the pod here; set admin.bindAddress: node and updateStrategy.rollingUpdate to maxUnavailable: 1 and maxSurge: 0" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Parts, permissions and what depends on the kind. */}}
{{- define "blastdoor.checkParts" -}}
{{- $values := .root.Values -}}
{{- $context := .context -}}
{{- $names := list -}}
{{- range $context.parts }}{{ $names = append $names .name }}{{ end -}}
{{- range $name, $override := $values.parts -}}
{{- if not (has $name $names) -}}
{{- fail (printf "parts.%s: with topology: %s there is no such part; there are: %s" $name $values.topology (join ", " $names)) -}}
{{- end -}}
{{- end -}}
{{- range $part := $context.parts -}}
{{- $own := $part.values -}}
{{- if and (eq $values.kind "Deployment") (gt (len $part.workload) 46) -}}
{{- fail (printf "the Deployment %s would have %d characters: Kubernetes cuts the names of its pods above 46, and the gateway derives its own from them; shorten fullnameOverride" $part.workload (len $part.workload)) -}}
{{- end -}}
{{- if and $own.autoscaling.enabled (ne $values.kind "Deployment") -}}
{{- fail "autoscaling.enabled with kind: DaemonSet: the number of its pods is the number of nodes; set kind: Deployment, or remove autoscaling" -}}
{{- end -}}
{{- if and (eq $values.kind "DaemonSet") (eq (toString $own.podDisruptionBudget.enabled) "true") (not (kindIs "float64" $own.podDisruptionBudget.minAvailable)) -}}
{{- fail "podDisruptionBudget.enabled with kind: DaemonSet: Kubernetes can count its pods only with a number as minAvailable, and would allow no eviction with anything else; set podDisruptionBudget.minAvailable to a number, or leave `enabled` at auto" -}}
{{- end -}}
{{- $scope := $own.secrets.scope -}}
{{- if and (eq $scope "namespaces") (not $own.secrets.namespaces) -}}
{{- fail "secrets.scope is namespaces, and secrets.namespaces is empty: list the namespaces, or use another scope" -}}
{{- end -}}
{{- range $name, $volume := $own.secrets.mounted -}}
{{- if hasKey $volume "name" -}}
{{- fail (printf "secrets.mounted.%s.name: the volume has its name from the chart; remove it" $name) -}}
{{- end -}}
{{- end -}}
{{- if and (ne $scope "mounted") $own.secrets.mounted -}}
{{- if has $scope (list "none") -}}
{{- fail "secrets.mounted has volumes, and secrets.scope is none: set it to mounted" -}}
{{- end -}}
{{- end -}}
{{- $watched := $own.watchNamespaces -}}
{{- range $name := $part.doors -}}
{{- $door := index $context.doors $name -}}
{{- if $door.tls.enabled -}}
{{- $certificate := $door.tls.defaultCertificate -}}
{{- if and (has $scope (list "none" "mounted")) (not $certificate) -}}
{{- fail (printf "doors.%s takes certificates from Ingresses, and secrets.scope is %s, so it could read none: set secrets.scope to named, namespaces or cluster, or give the door a tls.defaultCertificate of files (secrets.mounted)" $name $scope) -}}
{{- end -}}
{{- $wanted := list -}}
{{- if kindIs "map" $certificate }}{{ $wanted = append $wanted (dict "key" "tls.defaultCertificate" "source" $certificate) }}{{ end -}}
{{- if ne $door.tls.clientAuth.mode "off" }}{{ $wanted = append $wanted (dict "key" "tls.clientAuth.ca" "source" $door.tls.clientAuth.ca) }}{{ end -}}
{{- range $wanted -}}
{{- if and .source.secret (has $scope (list "none" "mounted")) -}}
{{- fail (printf "doors.%s.%s is in Secret %s, and secrets.scope is %s: set it to named, or mount the Secret (secrets.mounted) and write {mounted: NAME}" $name .key .source.secret $scope) -}}
{{- end -}}
{{- if .source.mounted -}}
{{- if not (hasKey $own.secrets.mounted .source.mounted) -}}
{{- fail (printf "doors.%s.%s is mounted as `%s`, which secrets.mounted does not have; add it there, as %s: {secret: {secretName: …}}" $name .key .source.mounted .source.mounted) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $published := include "blastdoor.published" (dict "root" $.root "door" $door) | fromYaml -}}
{{- if and $watched $published.service -}}
{{- if not (has (splitList "/" $published.service | first) $watched) -}}
{{- fail (printf "doors.%s publishes the address of Service %s, whose namespace is not among watchNamespaces; add it there, or set doors.%s.publish.hostname" $name $published.service $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The rest of the configuration. */}}
{{- define "blastdoor.checkConfig" -}}
{{- $values := .root.Values -}}
{{- range $key := list "listeners" "admin" -}}
{{- if hasKey $values.config $key -}}
{{- fail (printf "config.%s: the chart must know this; use %s" $key (ternary "doors" "the values of `admin`" (eq $key "listeners"))) -}}
{{- end -}}
{{- end -}}
{{- $instead := dict "kind" "nothing: the source is the API server" "secrets" "secrets.scope" "namespaces" "watchNamespaces" "ingress_class" "ingressClasses" -}}
{{- range $key, $other := $instead -}}
{{- if hasKey ($values.config.source | default dict) $key -}}
{{- fail (printf "config.source.%s: use %s" $key $other) -}}
{{- end -}}
{{- end -}}
{{- if and (ne $values.topology "single") (($values.config.source | default dict).instance) -}}
{{- fail (printf "config.source.instance with topology: %s: its processes would share one Lease; leave it out, each has the name of its workload" $values.topology) -}}
{{- end -}}
{{- range $name, $_ := $values.configFiles -}}
{{- if has $name (list "listeners.toml" "cloudflare.txt") -}}
{{- if or (eq $name "listeners.toml") $values.cloudflare.enabled -}}
{{- fail (printf "configFiles.%s: the chart writes this file itself" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $door, $host := $values.tests.hosts -}}
{{- if not (hasKey $.context.doors $door) -}}
{{- fail (printf "tests.hosts.%s: there is no such door; there are: %s" $door (keys $.context.doors | sortAlpha | join ", ")) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
What may be wrong with one Service: its arguments are those of `blastdoor.service`. An internal door must not be on a load
balancer that the internet reaches: Kubernetes cannot say whether it does, so the annotation or class that makes one private must
be there, or a statement.
*/}}
{{- define "blastdoor.checkService" -}}
{{- $service := .service -}}
{{- $key := .key -}}
{{- $context := .context -}}
{{- $horizon := .horizon -}}
{{- if not .doors -}}
{{- fail (printf "%s is enabled, and there is no %s door" $key $horizon) -}}
{{- end -}}
{{- if eq $service.type "LoadBalancer" -}}
{{- $made := include "blastdoor.balancerSays" $service -}}
{{- if and (eq $horizon "internal") (not (or (eq $made "private") $service.private)) -}}
{{- fail (printf "%s is a load balancer in front of internal doors, and nothing says that it is private: add the annotation of your cloud (service.beta.kubernetes.io/aws-load-balancer-scheme: internal, networking.gke.io/load-balancer-type: Internal, service.beta.kubernetes.io/azure-load-balancer-internal: \"true\"), or, if its addresses are private anyway, %s.private: true" $key $key) -}}
{{- end -}}
{{- if and (eq $horizon "internal") (eq $made "public") -}}
{{- fail (printf "%s is in front of internal doors, and its annotations or its loadBalancerClass ask for an internet-facing load balancer" $key) -}}
{{- end -}}
{{- end -}}
{{- if and (eq $service.type "ClusterIP") $service.externalTrafficPolicy -}}
{{- fail (printf "%s.externalTrafficPolicy has no meaning for type ClusterIP, and Kubernetes refuses it; remove it" $key) -}}
{{- end -}}
{{- if and (ne $service.type "ClusterIP") $service.headless -}}
{{- fail (printf "%s.headless has no meaning for type %s; remove it" $key $service.type) -}}
{{- end -}}
{{- $proxied := false -}}
{{- range .doors }}{{ if or (eq .behind "nlb-proxy-v2") (eq .proxyProtocol "required") }}{{ $proxied = true }}{{ end }}{{ end -}}
{{- $targets := index $service.annotations "service.beta.kubernetes.io/aws-load-balancer-nlb-target-type" | default "instance" -}}
{{- if and $proxied (eq $service.type "LoadBalancer") (eq $service.externalTrafficPolicy "Local") (ne $targets "ip") -}}
{{- fail (printf "%s: PROXY headers with externalTrafficPolicy: Local and nodes as targets: kube-proxy's health check cannot read the header, so every node stays red; use targets of type ip, or Cluster" $key) -}}
{{- end -}}
{{- if and (ne .root.Values.topology "single") (eq .root.Values.kind "Deployment") (eq $service.externalTrafficPolicy "Local") (gt (len .doors) 1) (eq .root.Values.topology "four") -}}
{{- fail (printf "%s: externalTrafficPolicy: Local with topology: four and kind: Deployment: a node with a pod of one door counts as healthy for all of them; use `service` of each door, or kind: DaemonSet" $key) -}}
{{- end -}}
{{- range $extra := $service.extraPorts -}}
{{- $target := default $extra.port $extra.targetPort | toString -}}
{{- /* A name may be that of a port of another container, and its number that of a door. */ -}}
{{- range concat $.root.Values.extraContainers $.root.Values.extraInitContainers -}}
{{- range .ports -}}
{{- if eq (toString .name) $target }}{{ $target = toString .containerPort }}{{ end -}}
{{- end -}}
{{- end -}}
{{- range $name, $door := $context.doors -}}
{{- if or (eq $target $name) (eq $target (toString $door.port)) -}}
{{- if ne $door.horizon $horizon -}}
{{- fail (printf "%s.extraPorts: port %v leads to the %s door %s; this Service is in front of %s doors only" $key $extra.port $door.horizon $name $horizon) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if or (eq $target "admin") (eq $target (toString $.root.Values.admin.port)) -}}
{{- fail (printf "%s.extraPorts: port %v leads to the admin port, which has no authentication" $key $extra.port) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
What the annotations and the class of a Service say about its load balancer: `private`, `public` or nothing. A class decides which
controller reads the Service, and no other reads it: with a class of one cloud, annotations of another make nothing private, and with
a class that the chart does not know, no annotation does.
*/}}
{{- define "blastdoor.balancerSays" -}}
{{- $marks := list
  (dict "cloud" "aws" "name" "service.beta.kubernetes.io/aws-load-balancer-scheme" "private" "internal" "public" "internet-facing")
  (dict "cloud" "aws" "name" "service.beta.kubernetes.io/aws-load-balancer-internal" "private" "true" "public" "false")
  (dict "cloud" "gke" "name" "networking.gke.io/load-balancer-type" "private" "Internal" "public" "External")
  (dict "cloud" "gke" "name" "cloud.google.com/load-balancer-type" "private" "Internal" "public" "External")
  (dict "cloud" "azure" "name" "service.beta.kubernetes.io/azure-load-balancer-internal" "private" "true" "public" "false")
-}}
{{- $class := .loadBalancerClass | default "" -}}
{{- $clouds := list "aws" "gke" "azure" -}}
{{- if hasPrefix "networking.gke.io/" $class -}}
{{- $clouds = list "gke" -}}
{{- else if or (hasPrefix "service.k8s.aws/" $class) (hasPrefix "eks.amazonaws.com/" $class) -}}
{{- $clouds = list "aws" -}}
{{- else if $class -}}
{{- $clouds = list -}}
{{- end -}}
{{- $private := eq $class "networking.gke.io/l4-regional-internal" -}}
{{- $public := eq $class "networking.gke.io/l4-regional-external" -}}
{{- $annotations := .annotations -}}
{{- range $marks -}}
{{- $value := index $annotations .name | default "" | toString -}}
{{- if and (has .cloud $clouds) (eq $value .private) }}{{ $private = true }}{{ end -}}
{{- if and $value (eq $value .public) }}{{ $public = true }}{{ end -}}
{{- end -}}
{{- if $public }}public{{ else if $private }}private{{ end -}}
{{- end -}}
