// Values as people read them. null and undefined are unknown, never zero.

const UNKNOWN = "unknown";
const DASH = "–";
const count = new Intl.NumberFormat("en-US");

export const showCount = (n) => count.format(n);

export function showShare(share, digits = 1) {
  if (share === null) return UNKNOWN;
  return `${(100 * share).toFixed(digits).replace("-", "−")} %`;
}

/** A bound is rounded down, so that the page never claims more than is proven. */
export function showBound(share) {
  if (share === null) return DASH;
  return `${(Math.floor(share * 1000 + 1e-9) / 10).toFixed(1)} %`;
}

export const showMoney = (money) => (money ? money.text : UNKNOWN);

/** Amounts of one column with equally many decimals, so that their points stand in line. */
export function alignMoney(amounts) {
  const places = (money) => (money && Number(money.usd) ? money.text.split(".")[1].length : 2);
  const digits = Math.min(8, Math.max(2, ...amounts.map(places)));
  return amounts.map((money) => (money ? `$${Number(money.usd).toFixed(digits)}` : UNKNOWN));
}

/** An axis label in USD with as many places as the step between labels needs. */
export function showTick(value, step) {
  const digits = Math.min(12, Math.max(0, Math.ceil(-Math.log10(step)) + 1));
  const text = value.toFixed(digits);
  return `$${text.includes(".") ? text.replace(/\.?0+$/, "") : text}`;
}

const pad = (n) => String(n).padStart(2, "0");

export function showClock(epochS) {
  const at = new Date(epochS * 1000);
  return `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
}

export function showTime(epochS) {
  if (epochS === null) return DASH;
  const at = new Date(epochS * 1000);
  return `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())} ${showClock(epochS)}`;
}

export function showDuration(seconds) {
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${pad(Math.round(seconds % 60))} s`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

export function showLatency(ms) {
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  return `${count.format(Math.round(ms))} ms`;
}

export function showTruth(value) {
  return value === null ? DASH : value ? "yes" : "no";
}

export function showConfidence(confidence, threshold) {
  if (confidence === null) return DASH;
  // Cut, not rounded: "0.95 < 0.95" would say nothing.
  const cut = (x) => (Math.floor(x * 1000 + 1e-9) / 1000).toFixed(3);
  if (threshold === null) return cut(confidence);
  return `${cut(confidence)} ${confidence >= threshold ? "≥" : "<"} ${cut(threshold)}`;
}

/** A number of USD, such as an estimate: three significant digits, never an exponent. */
export function showUsd(value) {
  if (value === null || value === undefined) return UNKNOWN;
  const amount = Number(value);
  if (amount === 0) return "$0.00";
  if (Math.abs(amount) >= 0.995) return `$${amount.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`;
  const digits = Math.min(12, Math.max(4, 2 - Math.floor(Math.log10(Math.abs(amount)))));
  return `$${amount.toFixed(digits)}`;
}
