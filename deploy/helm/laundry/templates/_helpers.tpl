{{/* Names are short: "<release>-<service>", and "laundry-<service>" for the usual release name. */}}
{{- define "laundry.name" -}}
{{- printf "%s-%s" .root.Release.Name .service | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "laundry.image" -}}
{{- printf "%s/%s:%s" .root.Values.image.registry .image (.root.Values.image.tag | default .root.Chart.AppVersion) -}}
{{- end -}}

{{- define "laundry.selector" -}}
app.kubernetes.io/name: {{ .service }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end -}}

{{/* Without the chart's version: a change of the chart alone restarts nobody. */}}
{{- define "laundry.podLabels" -}}
{{ include "laundry.selector" . }}
app.kubernetes.io/part-of: smart-fitness-laundry
{{- end -}}

{{- define "laundry.labels" -}}
{{ include "laundry.podLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{/* What each process is, from the catalogue, without the identity service where it is off; how many is in the values. */}}
{{- define "laundry.facts" -}}
{{- range $service, $facts := fromYaml (.Files.Get "files/services.yaml") }}
{{- if or $.Values.identity.enabled (not $facts.provider) }}
{{ $service }}: {{ toJson $facts }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Where the services reach the chart's own identity service, and what it calls itself. */}}
{{- define "laundry.providerUrl" -}}
http://{{ include "laundry.name" (dict "root" . "service" "identity") }}:8000
{{- end -}}

{{- define "laundry.issuer" -}}
{{ required "set identity.publicUrl, or identity.enabled to false for another provider" .Values.identity.publicUrl | trimSuffix "/" }}
{{- end -}}

{{/* The JSON that the services read, from the values' list. */}}
{{- define "laundry.trustedIssuers" -}}
{{- $found := list -}}
{{- range . -}}
{{- $found = append $found (dict "issuer" .issuer "jwks_url" .jwksUrl "audience" .audience "subject_prefix" .subjectPrefix "deny_list_url" .denyListUrl "roles" .roles "forced_role" .forcedRole "mapping" .mapping "id_tokens" (default false .idTokens)) -}}
{{- end -}}
{{ toJson $found }}
{{- end -}}

{{- define "laundry.brokerHost" -}}
{{- if .Values.rabbitmq.enabled -}}
{{ printf "%s-rabbitmq" .Release.Name }}
{{- else -}}
{{ required "set topology.managementHost to your broker's management API (the topology and the operations service ask it)" .Values.topology.managementHost }}
{{- end -}}
{{- end -}}

{{/*
Refuse a kind that the cluster does not know, of {root, api, kind, of, off}. Rendered without a cluster, where nothing can
be looked up, nothing is refused.
*/}}
{{- define "laundry.needsKind" -}}
{{- if lookup "v1" "ServiceAccount" .root.Release.Namespace "default" -}}
{{- if not (.root.Capabilities.APIVersions.Has (printf "%s/%s" .api .kind)) -}}
{{- fail (printf "this cluster knows no %s: install %s first, or set %s" .kind .of .off) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "laundry.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "laundry.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "laundry.fromSecret" -}}
- name: {{ .name }}
  valueFrom:
    secretKeyRef:
      name: {{ .secret }}
      key: {{ .key }}
      {{- if .optional }}
      optional: true
      {{- end }}
{{- end -}}

{{- define "laundry.scheduling" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* One egress rule from {ports, to}. */}}
{{- define "laundry.egress" -}}
- ports:
    {{- range .ports }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
  {{- with .to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
