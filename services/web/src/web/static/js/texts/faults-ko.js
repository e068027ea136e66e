// Korean: faults and who takes care of them; the end of recommendations

export default {
  "handling.open": "아직 맡은 사람이 없습니다.",
  "handling.escalated": "아직 맡은 사람이 없어 다음 담당자에게 {count}번 알렸습니다.",
  "handling.take": "제가 맡을게요",
  "handling.takeOf": "제가 맡을게요: {what}",
  "handling.mine": "내가 맡고 있습니다",
  "handling.taken": "{who} 님이 맡고 있습니다",
  "handling.you": "나",
  "handling.closed": "해결됨",
  "handling.closedBy": "해결됨 · 담당 {who}",
  "handling.sayTaken": "{what}: {said}.",
  "handling.over": "이미 해결된 고장입니다.",

  "operator.faults": "고장",
  "operator.faults.documentTitle": "고장 · 스마트 세탁",
  "faults.title": "고장",
  "faults.hint": "지점에서 아무도 맡지 않은 고장이 먼저 나옵니다. 설비가 정상으로 돌아오면 저절로 닫힙니다.",
  "faults.none": "고장 난 설비가 없습니다.",
  "faults.more": "더 있습니다. 종류마다 최근 것만 보여 줍니다.",

  "problem.fault-closed": "설비가 이미 정상으로 돌아와 더 할 일이 없습니다.",
  "problem.fault-unknown": "이 고장을 찾을 수 없습니다.",

  "unsubscribe.title": "지점 소식 알림",
  "unsubscribe.doing": "알림을 끄는 중입니다…",
  "unsubscribe.done": "지점 소식 알림을 껐습니다. 더 보내지 않습니다.",
  "unsubscribe.open": "스마트 세탁 열기",
  "unsubscribe.again": "마음이 바뀌면 로그인해서 다시 켤 수 있습니다.",
  "unsubscribe.unknown": "링크가 온전하지 않습니다. 알림에서 다시 열거나, 로그인해서 꺼 주세요.",
  "unsubscribe.failed": "지금은 끄지 못했습니다. 잠시 후 다시 시도하세요.",

  "dlq.did.fault.acknowledge": "고장 맡음",
  "dlq.did.fault.escalate": "고장을 다음 사람에게 알림",
};
