{{/* Names are short: "<release>-<service>", and "laundry-<service>" for the usual release name. */}}
{{- define "laundry.name" -}}
{{- printf "%s-%s" .root.Release.Name .service | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "laundry.image" -}}
{{- printf "%s/%s:%s" .root.Values.image.registry .image (.root.Values.image.tag | default .root.Chart.AppVersion) -}}
{{- with index .root.Values.image.digests .image }}@{{ . }}{{ end -}}
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

{{/* A value that --set may have made a number, as the text that was written. */}}
{{- define "laundry.text" -}}
{{- if kindIs "string" . }}{{ . }}{{ else }}{{ int64 . }}{{ end -}}
{{- end -}}

{{/* Where the services reach the chart's own identity service, and what it calls itself. */}}
{{- define "laundry.providerUrl" -}}
http://{{ include "laundry.name" (dict "root" . "service" "identity") }}:8000
{{- end -}}

{{- define "laundry.issuer" -}}
{{ required "set identity.publicUrl, or identity.enabled to false for another provider" .Values.identity.publicUrl | trimSuffix "/" }}
{{- end -}}

{{- define "laundry.identityHost" -}}
{{ (urlParse (include "laundry.issuer" .)).host }}
{{- end -}}

{{/* The JSON that the services read, from the values' list. */}}
{{- define "laundry.trustedIssuers" -}}
{{- $found := list -}}
{{- range . -}}
{{- $found = append $found (dict "issuer" .issuer "jwks_url" .jwksUrl "audience" .audience "subject_prefix" .subjectPrefix "deny_list_url" .denyListUrl "roles" .roles "forced_role" .forcedRole "mapping" .mapping "id_tokens" (default false .idTokens)) -}}
{{- end -}}
{{ toJson $found }}
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
      name: {{ .secret | quote }}
      key: {{ .key | quote }}
      {{- if .optional }}
      optional: true
      {{- end }}
{{- end -}}

{{/* A key of a service's Secret, or of where `secrets` says that it is: of {root, service, name, key, optional}. */}}
{{- define "laundry.ofService" -}}
{{- $place := index (index .root.Values.secrets .service | default dict) .key | default dict -}}
{{- $secret := $place.name | default (printf "%s-%s" .root.Values.secretPrefix .service) -}}
{{- include "laundry.fromSecret" (dict "name" .name "secret" $secret "key" ($place.key | default .key) "optional" .optional) -}}
{{- end -}}

{{/* Where and how pods run, of {root, own}: own is what a process's values say; of the root alone, as Jobs run. */}}
{{- define "laundry.scheduling" -}}
{{- $values := (.root | default .).Values -}}
{{- $own := .own | default $values.jobs -}}
{{- with $values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- with $own.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with $own.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* What a Job needs that runs at these hooks: it is there before the Job, and goes with it. */}}
{{- define "laundry.beforeTheJob" -}}
helm.sh/hook: {{ . }}
helm.sh/hook-weight: "-1"
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{/* An account without rights, of {root, service, own}; a Job that runs before the release is there needs `hook`. */}}
{{- define "laundry.serviceAccount" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "laundry.name" . }}
  labels:
    {{- include "laundry.labels" . | nindent 4 }}
  {{- if or .hook .own.serviceAccountAnnotations }}
  annotations:
    {{- if .hook }}
    {{- include "laundry.beforeTheJob" .hook | nindent 4 }}
    {{- end }}
    {{- with .own.serviceAccountAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
automountServiceAccountToken: false
{{- end -}}
