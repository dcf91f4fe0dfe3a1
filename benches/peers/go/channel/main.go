// Round trips of pairs of goroutines over two channels each, on one OS thread:
// channel CAPACITY PAIRS SECONDS, prints the nanoseconds of one.
package main

import (
	"runtime"

	"peers/laps"
)

func main() {
	runtime.GOMAXPROCS(1)
	capacity, pairs, seconds := laps.Number(1), laps.Number(2), laps.Seconds(3)
	laps := laps.New(pairs, seconds)
	for pair := 0; pair < pairs; pair++ {
		there, back := make(chan int, capacity), make(chan int, capacity)
		go func() {
			for message := range there {
				back <- message
			}
		}()
		go func() {
			for lap := 0; ; lap++ {
				there <- lap
				if <-back != lap {
					panic("another message came back")
				}
				laps.Add(1)
			}
		}()
	}
	select {}
}
