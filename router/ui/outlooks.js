// What a log predicts for every threshold of a workload: which of them a promise or a budget leads to.

/** So many of the newest interactions are looked at. */
export const NEWEST = 10000;

/** The cheapest outlook whose lower limit keeps a promise; null: none does. */
export function findPromised(outlooks, agreement, over) {
  const known = (outlook) => (over === "served" ? outlook.agreement_served : outlook.agreement);
  const keeping = outlooks.map((outlook, i) => [i, outlook]).filter(([, one]) => known(one) && known(one).low >= agreement - 1e-9);
  return best(keeping, (outlook) => -outlook.asked);
}

/** The best outlook whose cost stays within a budget; null: none does. */
export function findAffordable(outlooks, usd) {
  const within = outlooks.map((outlook, i) => [i, outlook]).filter(([, one]) => one.cost_usd && one.cost_usd.high <= usd * (1 + 1e-9));
  return best(within, (outlook) => outlook.agreement.value);
}

function best(pairs, worth) {
  return pairs.reduce((found, [i, one]) => (found === null || worth(one) > worth(found[1]) ? [i, one] : found), null)?.[0] ?? null;
}
