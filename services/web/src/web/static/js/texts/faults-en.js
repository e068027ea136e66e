// English: faults and who takes care of them; the end of recommendations

export default {
  "handling.open": "Nobody has taken this yet.",
  "handling.escalated.one": "Nobody has taken this yet, so the next person was told.",
  "handling.escalated": "Nobody has taken this yet; it was passed on {count} times.",
  "handling.take": "I'll take care of it",
  "handling.takeOf": "I'll take care of it: {what}",
  "handling.mine": "You are taking care of it",
  "handling.taken": "{who} is taking care of it",
  "handling.you": "you",
  "handling.closed": "Over",
  "handling.closedBy": "Over · taken care of by {who}",
  "handling.sayTaken": "{what}: {said}.",
  "handling.over": "That fault is over already.",

  "operator.faults": "Faults",
  "operator.faults.documentTitle": "Faults · Smart Laundry",
  "faults.title": "Faults",
  "faults.hint": "What nobody at the branch has taken comes first. A fault closes by itself once the machine is well.",
  "faults.none": "No machine is in fault.",
  "faults.more": "There are more; the newest of each kind are shown.",

  "problem.fault-closed": "The machine is well again; there is nothing left to do.",
  "problem.fault-unknown": "This fault cannot be found.",

  "unsubscribe.title": "Recommendations",
  "unsubscribe.doing": "Ending recommendations…",
  "unsubscribe.done": "Done. You get no more recommendations.",
  "unsubscribe.open": "Open Smart Laundry",
  "unsubscribe.again": "If you change your mind, sign in and turn them on again.",
  "unsubscribe.unknown":
    "This link is not complete. Open it from the notification again, or sign in and turn them off.",
  "unsubscribe.failed": "That did not work just now. Try again in a moment.",

  "dlq.did.fault.acknowledge": "took care of the fault",
  "dlq.did.fault.escalate": "passed on the fault",
};
