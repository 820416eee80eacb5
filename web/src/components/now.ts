import { useEffect, useState } from 'react'
import { serverNow } from '../clock'

/** The time, in milliseconds since 1970, brought up to date every so often. */
export function useNow(every = 1000): number {
  const [now, setNow] = useState(serverNow)
  useEffect(() => {
    const timer = setInterval(() => setNow(serverNow()), every)
    return () => clearInterval(timer)
  }, [every])
  return now
}
