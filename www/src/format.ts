/** Numbers as people read them. */

const grouped = new Intl.NumberFormat("en");

/** 12345 → "12,345". */
export function count(value: number): string {
  return grouped.format(value);
}

/** "1 file", "3 files". */
export function counted(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

const BYTE_UNITS = ["B", "kB", "MB", "GB", "TB"];

/** 1234567 → "1.23 MB". */
export function bytes(value: number): string {
  let unit = 0;
  let scaled = value;
  // 999.5 would be shown as "1000".
  while (scaled >= 999.5 && unit < BYTE_UNITS.length - 1) {
    scaled /= 1000;
    unit++;
  }
  return `${unit === 0 ? String(scaled) : digits(scaled, 3)} ${BYTE_UNITS[unit]}`;
}

/** "5GB", "1,5 GB" or "1048576" → bytes; `undefined` when it is none of these. */
export function parseBytes(text: string): number | undefined {
  const [, amount, prefix = "", binary] = /^(\d+(?:[.,]\d+)?)\s*(?:([kmgt])(i)?)?b?$/i.exec(text.trim()) ?? [];
  if (amount === undefined) return undefined;
  const power = ["", "k", "m", "g", "t"].indexOf(prefix.toLowerCase());
  const value = Math.round(Number(amount.replace(",", ".")) * (binary ? 1024 : 1000) ** power);
  return Number.isSafeInteger(value) && value > 0 ? value : undefined;
}

/** Up to `significant` digits, without trailing zeros, with a true minus sign. */
export function digits(value: number, significant = 4): string {
  return exactly(Number(value.toPrecision(significant)));
}

/** A number as it is, to its last digit: what was entered must not look like another. */
export function exactly(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  const text = size !== 0 && (size < 1e-4 || size >= 1e9) ? scientific(value) : String(value);
  return text.replace("-", "−");
}

const SUPERSCRIPT = "⁰¹²³⁴⁵⁶⁷⁸⁹";

function scientific(value: number): string {
  const [mantissa, exponent = "0"] = value.toExponential().split("e");
  const raised = exponent.replace("+", "").replace("-", "⁻").replace(/\d/g, (digit) => SUPERSCRIPT[Number(digit)]!);
  return `${mantissa}×10${raised}`;
}

/** 0.1234 → "12.3 %". What is not quite everything is never shown as 100 %. */
export function percent(share: number): string {
  const value = share * 100;
  if (value > 99.9 && value < 100) return "> 99.9 %";
  return `${digits(value, 3)} %`;
}

/** The same where a share may be unknown, as `null` in statistics is. */
export function percentIfKnown(share: number | null): string {
  return share === null ? "not known" : percent(share);
}

/** Seconds → "8 s", "3 min 20 s", "1 h 5 min". */
export function duration(seconds: number): string {
  if (seconds < 1) return "under 1 s";
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** [4096, 64] → "4096 × 64". */
export function shape(sizes: readonly number[]): string {
  return sizes.length === 0 ? "scalar" : sizes.join(" × ");
}
