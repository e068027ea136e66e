{{/* The Job of a training run, of {root, kind}; mlops fills in its name, the run's id as a label and the arguments. */}}
{{- define "laundry.trainingJob" -}}
{{- $root := .root -}}
{{- $training := $root.Values.training -}}
{{- $own := index $training .kind -}}
{{- $names := dict "root" $root "service" "training" -}}
{{- $facts := index (fromYaml (include "laundry.facts" $root)) "mlops" -}}
{{- $full := eq .kind "full" -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ include "laundry.name" $names }}
  labels:
    {{- include "laundry.labels" $names | nindent 4 }}
    laundry/job: training
spec:
  # mlops restarts what is worth it, so that a run's log records each attempt.
  backoffLimit: 0
  activeDeadlineSeconds: {{ $training.deadlineSeconds }}
  ttlSecondsAfterFinished: {{ $training.keepSeconds }}
  template:
    metadata:
      labels:
        {{- include "laundry.podLabels" $names | nindent 8 }}
        laundry/job: training
    spec:
      restartPolicy: Never
      serviceAccountName: {{ include "laundry.name" $names }}
      automountServiceAccountToken: false
      enableServiceLinks: false
      securityContext:
        {{- include "laundry.podSecurity" $root | nindent 8 }}
      {{- with include "laundry.scheduling" (dict "root" $root "own" (index $root.Values.services "mlops")) }}
      {{- . | nindent 6 }}
      {{- end }}
      {{- with include "laundry.trustInit" (dict "root" $root "image" "mlops") }}
      initContainers:
        {{- . | nindent 8 }}
      {{- end }}
      containers:
        - name: training
          image: {{ include "laundry.image" (dict "root" $root "image" "mlops") }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          command: [python, -m, mlops.{{ .kind }}]
          securityContext:
            {{- include "laundry.containerSecurity" $root | nindent 12 }}
          env:
            {{- /* All that mlops reads. The broker's login is among it; its policy leads to no broker. */}}
            {{- include "laundry.environment" (dict "root" $root "service" "mlops" "facts" $facts) | nindent 12 }}
            {{- include "laundry.trustEnvironment" (dict "root" $root) | nindent 12 }}
            - name: LAUNDRY_SANDBOX_SOCKET
              value: /exchange/sandbox.sock
            {{- if $full }}
            - name: LAUNDRY_TRAINING_DATA
              value: /photos
            - name: LAUNDRY_TRAINING_WORK
              value: /work
            - name: LAUNDRY_TRAINING_THREADS
              value: {{ $own.threads | quote }}
            {{- end }}
          resources:
            {{- toYaml $training.run.resources | nindent 12 }}
          volumeMounts:
            - name: tmp
              mountPath: /tmp
            - name: exchange
              mountPath: /exchange
            {{- if $full }}
            - name: photos
              mountPath: /photos
              readOnly: true
            - name: work
              mountPath: /work
            {{- end }}
            {{- include "laundry.trustMount" (dict "root" $root) | nindent 12 }}
        # Decodes photos, trains, and runs the result; it gets no secret, and the container above trusts
        # none of its answers unchecked.
        - name: sandbox
          image: {{ include "laundry.image" (dict "root" $root "image" (ternary "mlops-training" "mlops" $full)) }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          command: [python, -m, laundry_learning.sandbox.server, /exchange/sandbox.sock]
          securityContext:
            {{- include "laundry.containerSecurity" $root | nindent 12 }}
          resources:
            {{- toYaml $own.resources | nindent 12 }}
          volumeMounts:
            - name: sandbox-tmp
              mountPath: /tmp
            - name: exchange
              mountPath: /exchange
            {{- if $full }}
            - name: photos
              mountPath: /photos
              readOnly: true
            - name: work
              mountPath: /work
            {{- end }}
      volumes:
        - name: tmp
          emptyDir:
            sizeLimit: 64Mi
        - name: sandbox-tmp
          emptyDir:
            sizeLimit: 1Gi
        - name: exchange
          emptyDir:
            sizeLimit: 16Mi
        {{- include "laundry.trustVolumes" (dict "root" $root) | nindent 8 }}
        {{- if $full }}
        - name: photos
          persistentVolumeClaim:
            claimName: {{ required "set training.full.photosClaim to the volume that holds clothing/photos.csv" $own.photosClaim | quote }}
            readOnly: true
        - name: work
          {{- if $own.workClaim }}
          persistentVolumeClaim:
            claimName: {{ $own.workClaim | quote }}
          {{- else }}
          emptyDir:
            sizeLimit: 4Gi
          {{- end }}
        {{- end }}
{{- end -}}
