// SPDX-License-Identifier: MIT

// A proxy of wireguard-go and gVisor's TCP/IP stack, with nothing around them: the engine that the Go
// proxies share, as a yardstick where none of them is installed. Configured by the variables of
// wg-tinyproxy: WG_PRIVATE_KEY, WG_PUBLIC_KEY, WG_PRESHARED_KEY, WG_ADDRESS, WG_ALLOWED_IP,
// WG_ENDPOINT, WG_LISTEN_PORT, WG_MTU, PROXY_MODE, LISTEN_ADDR, LOCAL_PORT, TARGET_HOST, TARGET_PORT.
// Keys are base64.
package main

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun/netstack"
)

// stream is a TCP connection of either stack.
type stream interface {
	net.Conn
	CloseWrite() error
}

func setting(name, fallback string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return fallback
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func number(name, fallback string) int { return must(strconv.Atoi(setting(name, fallback))) }

func hexKey(name string) string {
	return hex.EncodeToString(must(base64.StdEncoding.DecodeString(setting(name, ""))))
}

// deviceConfig is in the format of https://www.wireguard.com/xplatform/#configuration-protocol.
func deviceConfig() string {
	var text strings.Builder
	fmt.Fprintf(&text, "private_key=%s\n", hexKey("WG_PRIVATE_KEY"))
	fmt.Fprintf(&text, "listen_port=%s\n", setting("WG_LISTEN_PORT", "0"))
	fmt.Fprintf(&text, "public_key=%s\n", hexKey("WG_PUBLIC_KEY"))
	if setting("WG_PRESHARED_KEY", "") != "" {
		fmt.Fprintf(&text, "preshared_key=%s\n", hexKey("WG_PRESHARED_KEY"))
	}
	fmt.Fprintf(&text, "endpoint=%s\n", setting("WG_ENDPOINT", ""))
	fmt.Fprintf(&text, "persistent_keepalive_interval=%s\n", setting("WG_KEEPALIVE", "25"))
	for _, prefix := range strings.Split(setting("WG_ALLOWED_IP", ""), ",") {
		fmt.Fprintf(&text, "allowed_ip=%s\n", prefix)
	}
	return text.String()
}

func openTunnel() *netstack.Net {
	var addresses []netip.Addr
	for _, text := range strings.Split(setting("WG_ADDRESS", ""), ",") {
		addresses = append(addresses, must(netip.ParseAddr(text)))
	}
	tun, tunnel, err := netstack.CreateNetTUN(addresses, nil, number("WG_MTU", "1420"))
	if err != nil {
		log.Fatal(err)
	}
	logger := device.NewLogger(device.LogLevelError, "")
	wireguard := device.NewDevice(tun, conn.NewDefaultBind(), logger)
	if err := wireguard.IpcSet(deviceConfig()); err != nil {
		log.Fatal(err)
	}
	if err := wireguard.Up(); err != nil {
		log.Fatal(err)
	}
	return tunnel
}

// pass copies one direction and hands its end on. An error of either stream ends both.
func pass(to, from stream, done chan<- struct{}) {
	if _, err := io.Copy(to, from); err != nil {
		to.Close()
		from.Close()
	}
	to.CloseWrite()
	done <- struct{}{}
}

func join(accepted net.Conn, dial func() (net.Conn, error)) {
	defer accepted.Close()
	dialled, err := dial()
	if err != nil {
		log.Print(err)
		return
	}
	defer dialled.Close()
	done := make(chan struct{}, 2)
	go pass(dialled.(stream), accepted.(stream), done)
	go pass(accepted.(stream), dialled.(stream), done)
	<-done
	<-done
}

func serve(listener net.Listener, dial func() (net.Conn, error)) {
	for {
		go join(must(listener.Accept()), dial)
	}
}

func main() {
	tunnel := openTunnel()
	port := number("LOCAL_PORT", "")
	target := net.JoinHostPort(setting("TARGET_HOST", ""), setting("TARGET_PORT", ""))
	if setting("PROXY_MODE", "egress") == "egress" {
		listener := must(tunnel.ListenTCP(&net.TCPAddr{Port: port}))
		serve(listener, func() (net.Conn, error) { return net.Dial("tcp", target) })
	}
	local := net.JoinHostPort(setting("LISTEN_ADDR", "0.0.0.0"), strconv.Itoa(port))
	serve(must(net.Listen("tcp", local)), func() (net.Conn, error) { return tunnel.Dial("tcp", target) })
}
