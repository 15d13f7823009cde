package twofahttp

import (
	"net/http"
	"net/netip"
	"strings"
)

// origin is where a request comes from.
type origin struct {
	addr netip.Addr // of the client, for limits and events; invalid if unknown
	// claimed is the last address in X-Forwarded-For if addr is no trusted
	// proxy. A proxy that is not listed sends it, but a client can, too.
	claimed netip.Addr
}

// originOf returns where a request comes from: what Config.ClientIP says, or else
// the address of the connection. If a trusted proxy connects, it is the last
// address in X-Forwarded-For that is no trusted proxy. Addresses to the left of
// it can be forged by the client. Only a local process can connect to a Unix
// socket, which has no address, so it counts as a trusted proxy.
func (s *Server) originOf(r *http.Request) origin {
	if s.cfg.ClientIP != nil {
		return origin{addr: normal(s.cfg.ClientIP(r))}
	}
	addr := parseHop(r.RemoteAddr)
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop := parseHop(hops[i])
		if addr.IsValid() && !s.isTrustedProxy(addr) {
			return origin{addr, hop}
		}
		if !hop.IsValid() {
			break
		}
		addr = hop
	}
	return origin{addr: addr}
}

func (s *Server) clientIP(r *http.Request) netip.Addr { return s.originOf(r).addr }

func (s *Server) isTrustedProxy(addr netip.Addr) bool {
	for _, p := range s.cfg.TrustedProxies {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// parseHop parses an address as gateways write it: with or without a port,
// brackets, quotes and spaces.
func parseHop(s string) netip.Addr {
	s = strings.Trim(s, " \t\"")
	if withPort, err := netip.ParseAddrPort(s); err == nil {
		return normal(withPort.Addr())
	}
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	if err != nil {
		return netip.Addr{}
	}
	return normal(addr)
}

func normal(addr netip.Addr) netip.Addr { return addr.Unmap().WithZone("") }

// networkOf returns the network that an address is counted as. For IPv6 it is
// the /64, because one customer has at least that many addresses.
func networkOf(addr netip.Addr) netip.Addr {
	if addr.Is6() {
		if p, err := addr.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return addr
}
