{{- define "imgopt.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 63 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" }}{{ end -}}
{{- end }}

{{- define "imgopt.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: optimizer
{{- end }}

{{- define "imgopt.labels" -}}
{{ include "imgopt.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* The pods of one role. Those that answer requests (all, web) are what the Service selects; workers are others. */}}
{{- define "imgopt.component" -}}
{{ ternary "worker" "optimizer" (eq . "worker") }}
{{- end }}

{{- define "imgopt.roleSelector" -}}
{{ include "imgopt.selector" .root | replace "component: optimizer" (printf "component: %s" (include "imgopt.component" .role)) }}
{{- end }}

{{- define "imgopt.roleLabels" -}}
{{ include "imgopt.labels" .root | replace "component: optimizer" (printf "component: %s" (include "imgopt.component" .role)) }}
{{- end }}

{{- define "imgopt.deploymentName" -}}
{{- if eq .role "worker" }}{{ printf "%s-worker" (include "imgopt.name" .root | trunc 56 | trimSuffix "-") }}{{ else }}{{ include "imgopt.name" .root }}{{ end -}}
{{- end }}

{{/* What the chart says in the environment, where it wins over imgopt.yaml: Valkey's address, which is a secret, and in
what roles differ. All else must be the same for those that share work, so all have the same imgopt.yaml. */}}
{{- define "imgopt.ownEnv" -}}
{{- $env := list }}
{{- with .root.Values.valkey }}
{{- if .enabled }}
{{- $secret := .secret | required "valkey.secret must name a Secret that holds the url of Valkey" }}
{{- $env = append $env (dict "name" "IMGOPT_STORAGE_TYPE" "value" "valkey") }}
{{- $env = append $env (dict "name" "IMGOPT_STORAGE_URL" "valueFrom" (dict "secretKeyRef" (dict "name" $secret "key" .secretKey))) }}
{{- end }}
{{- end }}
{{- if ne .role "all" }}
{{- $env = append $env (dict "name" "IMGOPT_ROLE" "value" .role) }}
{{- end }}
{{- if eq .role "worker" }}
{{- $env = append $env (dict "name" "IMGOPT_CACHE_MEMORY" "value" "32MiB") }}
{{- $env = append $env (dict "name" "IMGOPT_CACHE_DISK_PATH" "value" "") }}
{{- $env = append $env (dict "name" "IMGOPT_CACHE_DISK_MAX" "value" "0") }}
{{- end }}
{{- toYaml $env }}
{{- end }}

{{- define "imgopt.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "imgopt.name" .) }}{{ else }}{{ .Values.serviceAccount.name | default "default" }}{{ end -}}
{{- end }}

{{- define "imgopt.image" -}}
{{- with .Values.image }}{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}{{ end -}}
{{- end }}

{{/* What the chart says itself, under what the values say. See deploy/kubernetes/base/imgopt.yaml for the reasons. */}}
{{- define "imgopt.config" -}}
{{- $own := dict "listen" ":3000" "adminListen" ":9090" "shutdownDelay" "5s" "shutdownTimeout" "25s" "saturatedAfter" "0s" "demo" false "log" (dict "format" "json") }}
{{- if .Values.cache.enabled }}{{- $_ := set $own "cache" (dict "disk" (dict "path" "/var/cache/imgopt" "max" .Values.cache.maxSize)) }}{{- end }}
{{- if .Values.nextBuild.configMap }}{{- $_ := set $own "nextDir" "/etc/imgopt-build" }}{{- end }}
{{- mergeOverwrite $own (deepCopy .Values.config) | toYaml }}
{{- end }}

{{/* The port of an address (host:port) in the merged configuration. */}}
{{- define "imgopt.port" -}}
{{- $config := include "imgopt.config" .root | fromYaml }}
{{- regexFind "[0-9]+$" (get $config .key) | required (printf "config.%s must end with a port: the probes and the Service need it" .key) }}
{{- end }}

{{/* shutdownTimeout in whole seconds, for a pod that is to live a little longer. */}}
{{- define "imgopt.shutdownSeconds" -}}
{{- $config := include "imgopt.config" . | fromYaml }}
{{- $text := get $config "shutdownTimeout" | toString }}
{{- if not (regexMatch "^([0-9]+m)?([0-9]+s)?$" $text) }}{{ fail (printf "config.shutdownTimeout %q: the chart reads minutes and whole seconds, such as 25s or 1m30s" $text) }}{{ end -}}
{{- $minutes := regexFind "^[0-9]+m" $text | trimSuffix "m" | default "0" | int }}
{{- $seconds := regexFind "[0-9]+s$" $text | trimSuffix "s" | default "0" | int }}
{{- add (mul 60 $minutes) $seconds -}}
{{- end }}
