import { VisuallyHidden } from '@mantine/core'
import { highLoss } from '../job'

/** Packet loss in percent; red, and said so, where it is high. */
export function Loss({ percent }: { percent: number | null }) {
  if (percent === null) return <>–</>
  const high = percent > highLoss
  return (
    <span className={high ? 'high' : undefined}>
      {percent.toFixed(2)}%{high && <VisuallyHidden> (high)</VisuallyHidden>}
    </span>
  )
}
