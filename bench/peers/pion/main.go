// Command pion-sfu is a small SFU made with Pion, to be measured beside Ringcast by the same load generator.
//
// It speaks the part of Ringcast's HTTP API that the load generator uses. A published track is one
// TrackLocalStaticRTP: Pion writes each packet to every subscriber of it. Whatever a subscriber reports is read,
// keyframe requests go on to the publisher, and lost packets are sent again by Pion's own interceptors. Nothing is
// added that a small SFU could do without, and nothing is left out that a real one needs to forward a call.
package main

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"

	"github.com/pion/ice/v2"
	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v3"
)

// What a packet may have at most: Pion's own limit for what it receives.
const packetBytesMax = 1460

// What one HTTP request may have at most.
const requestBytesMax = 1 << 20

// server holds what all sessions share.
type server struct {
	api      *webrtc.API
	mu       sync.Mutex
	sessions map[string]*session
}

// session is one peer connection, which may publish and subscribe.
type session struct {
	server *server
	peer   *webrtc.PeerConnection
	// Offers and answers of one session are exchanged one after the other.
	negotiation sync.Mutex

	mu           sync.Mutex
	publications map[string]*publication // by track name
	pulled       []*publication
}

// publication is one track that a session sends to us.
type publication struct {
	session *session
	mid     string
	local   *webrtc.TrackLocalStaticRTP
	mu      sync.Mutex
	ssrc    webrtc.SSRC // 0 until the first packet
}

type description struct {
	Type string `json:"type"`
	SDP  string `json:"sdp"`
}

type track struct {
	Location  string `json:"location,omitempty"`
	SessionID string `json:"sessionId,omitempty"`
	TrackName string `json:"trackName"`
	Mid       string `json:"mid,omitempty"`
}

type tracksBody struct {
	Description *description `json:"sessionDescription,omitempty"`
	Tracks      []track      `json:"tracks,omitempty"`
	Renegotiate *bool        `json:"requiresImmediateRenegotiation,omitempty"`
}

func main() {
	log.SetFlags(0)
	listen := flag.String("listen", "127.0.0.1:8080", "address of the HTTP API")
	address := flag.String("media-address", "127.0.0.1", "the only address for media")
	flag.Parse()
	ip := net.ParseIP(*address)
	if ip == nil {
		log.Fatalf("pion-sfu: %q is no IP address", *address)
	}
	api, err := newAPI(ip)
	if err != nil {
		log.Fatalf("pion-sfu: %v", err)
	}
	server := &server{api: api, sessions: make(map[string]*session)}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatalf("pion-sfu: %v", err)
	}
	fmt.Println("ready")
	log.Fatalf("pion-sfu: %v", http.Serve(listener, server))
}

// newAPI sets Pion up: VP8 and Opus, NACK in both directions, sender and receiver reports, ICE lite on one address.
func newAPI(address net.IP) (*webrtc.API, error) {
	media := &webrtc.MediaEngine{}
	opus := webrtc.RTPCodecParameters{PayloadType: 111, RTPCodecCapability: webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2, SDPFmtpLine: "minptime=10;useinbandfec=1",
	}}
	if err := media.RegisterCodec(opus, webrtc.RTPCodecTypeAudio); err != nil {
		return nil, err
	}
	vp8 := webrtc.RTPCodecParameters{PayloadType: 96, RTPCodecCapability: webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeVP8, ClockRate: 90000,
		RTCPFeedback: []webrtc.RTCPFeedback{{Type: "ccm", Parameter: "fir"}},
	}}
	if err := media.RegisterCodec(vp8, webrtc.RTPCodecTypeVideo); err != nil {
		return nil, err
	}
	interceptors := &interceptor.Registry{}
	if err := webrtc.ConfigureNack(media, interceptors); err != nil {
		return nil, err
	}
	if err := webrtc.ConfigureRTCPReports(interceptors); err != nil {
		return nil, err
	}
	settings := webrtc.SettingEngine{}
	settings.SetLite(true)
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6})
	settings.SetIncludeLoopbackCandidate(address.IsLoopback())
	settings.SetIPFilter(func(candidate net.IP) bool { return candidate.Equal(address) })
	if err := settings.SetAnsweringDTLSRole(webrtc.DTLSRoleServer); err != nil {
		return nil, err
	}
	return webrtc.NewAPI(
		webrtc.WithMediaEngine(media),
		webrtc.WithInterceptorRegistry(interceptors),
		webrtc.WithSettingEngine(settings),
	), nil
}

// ServeHTTP answers /v1/apps/{app}/sessions/...; application and secret are not looked at.
func (s *server) ServeHTTP(response http.ResponseWriter, request *http.Request) {
	path := strings.Split(strings.Trim(request.URL.Path, "/"), "/")
	if len(path) < 5 || path[0] != "v1" || path[1] != "apps" || path[3] != "sessions" {
		http.NotFound(response, request)
		return
	}
	var reply interface{}
	var err error
	switch call := request.Method + " " + strings.Join(path[5:], "/"); {
	case call == "POST " && path[4] == "new":
		reply, err = s.newSession()
	case call == "POST tracks/new":
		reply, err = s.withSession(path[4], request, (*session).newTracks)
	case call == "PUT renegotiate":
		reply, err = s.withSession(path[4], request, (*session).renegotiate)
	default:
		http.NotFound(response, request)
		return
	}
	if err != nil {
		http.Error(response, err.Error(), http.StatusBadRequest)
		return
	}
	response.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(response).Encode(reply)
}

func (s *server) newSession() (interface{}, error) {
	peer, err := s.api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, err
	}
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, err
	}
	name := hex.EncodeToString(id[:])
	created := &session{server: s, peer: peer, publications: make(map[string]*publication)}
	peer.OnTrack(created.forward)
	peer.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		switch state {
		case webrtc.PeerConnectionStateConnected:
			created.requestKeyframes()
		case webrtc.PeerConnectionStateFailed:
			s.mu.Lock()
			delete(s.sessions, name)
			s.mu.Unlock()
			_ = peer.Close()
		}
	})
	s.mu.Lock()
	s.sessions[name] = created
	s.mu.Unlock()
	return map[string]string{"sessionId": name}, nil
}

func (s *server) session(id string) (*session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.sessions[id]
	if !ok {
		return nil, fmt.Errorf("there is no session %q", id)
	}
	return found, nil
}

func (s *server) withSession(
	id string, request *http.Request, call func(*session, *tracksBody) (interface{}, error),
) (interface{}, error) {
	found, err := s.session(id)
	if err != nil {
		return nil, err
	}
	body := &tracksBody{}
	if err := json.NewDecoder(http.MaxBytesReader(nil, request.Body, requestBytesMax)).Decode(body); err != nil {
		return nil, err
	}
	found.negotiation.Lock()
	defer found.negotiation.Unlock()
	return call(found, body)
}

func (s *session) newTracks(body *tracksBody) (interface{}, error) {
	if body.Description != nil {
		return s.push(body)
	}
	return s.pull(body)
}

// push takes the offer of a publisher and makes a publication of each section that it names.
func (s *session) push(body *tracksBody) (interface{}, error) {
	offer := webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: body.Description.SDP}
	if err := s.peer.SetRemoteDescription(offer); err != nil {
		return nil, err
	}
	for _, wanted := range body.Tracks {
		if err := s.publish(wanted); err != nil {
			return nil, err
		}
	}
	answer, err := s.peer.CreateAnswer(nil)
	if err != nil {
		return nil, err
	}
	described, err := s.describe(answer)
	if err != nil {
		return nil, err
	}
	return tracksBody{Description: described, Tracks: body.Tracks}, nil
}

func (s *session) publish(wanted track) error {
	for _, transceiver := range s.peer.GetTransceivers() {
		if transceiver.Mid() != wanted.Mid {
			continue
		}
		codecs := transceiver.Receiver().GetParameters().Codecs
		if len(codecs) == 0 {
			return fmt.Errorf("section %q has no codec in common", wanted.Mid)
		}
		local, err := webrtc.NewTrackLocalStaticRTP(codecs[0].RTPCodecCapability, wanted.TrackName, wanted.TrackName)
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.publications[wanted.TrackName] = &publication{session: s, mid: wanted.Mid, local: local}
		s.mu.Unlock()
		return nil
	}
	return fmt.Errorf("the offer has no section %q", wanted.Mid)
}

// pull adds a section for each wanted track and offers them.
func (s *session) pull(body *tracksBody) (interface{}, error) {
	reply := tracksBody{}
	for _, wanted := range body.Tracks {
		publisher, err := s.server.session(wanted.SessionID)
		if err != nil {
			return nil, err
		}
		publisher.mu.Lock()
		found, ok := publisher.publications[wanted.TrackName]
		publisher.mu.Unlock()
		if !ok {
			return nil, fmt.Errorf("session %q has no track %q", wanted.SessionID, wanted.TrackName)
		}
		sendOnly := webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly}
		transceiver, err := s.peer.AddTransceiverFromTrack(found.local, sendOnly)
		if err != nil {
			return nil, err
		}
		s.mu.Lock()
		s.pulled = append(s.pulled, found)
		s.mu.Unlock()
		go readFeedback(transceiver.Sender(), found)
		reply.Tracks = append(reply.Tracks, wanted)
	}
	offer, err := s.peer.CreateOffer(nil)
	if err != nil {
		return nil, err
	}
	if reply.Description, err = s.describe(offer); err != nil {
		return nil, err
	}
	required := true
	reply.Renegotiate = &required
	return reply, nil
}

func (s *session) renegotiate(body *tracksBody) (interface{}, error) {
	if body.Description == nil {
		return nil, fmt.Errorf("there is no answer in the request")
	}
	answer := webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: body.Description.SDP}
	if err := s.peer.SetRemoteDescription(answer); err != nil {
		return nil, err
	}
	if s.peer.ConnectionState() == webrtc.PeerConnectionStateConnected {
		s.requestKeyframes()
	}
	return struct{}{}, nil
}

// describe makes a description the local one and returns it with its candidates.
func (s *session) describe(local webrtc.SessionDescription) (*description, error) {
	gathered := webrtc.GatheringCompletePromise(s.peer)
	if err := s.peer.SetLocalDescription(local); err != nil {
		return nil, err
	}
	<-gathered
	complete := s.peer.LocalDescription()
	return &description{Type: complete.Type.String(), SDP: complete.SDP}, nil
}

// forward gives every packet of a received track to Pion's fan-out, until the track ends.
func (s *session) forward(remote *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
	var found *publication
	for _, transceiver := range s.peer.GetTransceivers() {
		if transceiver.Receiver() == receiver {
			found = s.publicationOf(transceiver.Mid())
		}
	}
	if found == nil {
		return
	}
	found.mu.Lock()
	found.ssrc = remote.SSRC()
	found.mu.Unlock()
	go drainReports(receiver)
	buffer := make([]byte, packetBytesMax)
	for {
		length, _, err := remote.Read(buffer)
		if err != nil {
			return
		}
		// It fails when a subscriber has just gone; the others get their packet all the same.
		_, _ = found.local.Write(buffer[:length])
	}
}

func (s *session) publicationOf(mid string) *publication {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, found := range s.publications {
		if found.mid == mid {
			return found
		}
	}
	return nil
}

// requestKeyframes asks for a beginning of everything that this session has just begun to receive.
func (s *session) requestKeyframes() {
	s.mu.Lock()
	pulled := append([]*publication(nil), s.pulled...)
	s.mu.Unlock()
	for _, found := range pulled {
		found.requestKeyframe()
	}
}

func (p *publication) requestKeyframe() {
	p.mu.Lock()
	ssrc := p.ssrc
	p.mu.Unlock()
	if ssrc == 0 || p.local.Kind() != webrtc.RTPCodecTypeVideo {
		return
	}
	_ = p.session.peer.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: uint32(ssrc)}})
}

// readFeedback reads what a subscriber reports: the interceptors see it pass, keyframe requests go on.
func readFeedback(sender *webrtc.RTPSender, of *publication) {
	for {
		packets, _, err := sender.ReadRTCP()
		if err != nil {
			return
		}
		for _, packet := range packets {
			switch packet.(type) {
			case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
				of.requestKeyframe()
			}
		}
	}
}

// drainReports reads what a publisher reports, for the interceptors alone.
func drainReports(receiver *webrtc.RTPReceiver) {
	buffer := make([]byte, packetBytesMax)
	for {
		if _, _, err := receiver.Read(buffer); err != nil {
			return
		}
	}
}
