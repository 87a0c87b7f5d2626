-- ARGV: key, token, replica, milliseconds.
local r, ttl = record(ARGV[1]), tonumber(ARGV[4])
if not holds(r, ARGV[2]) then return 0 end
call('XCLAIM', line(r.p, r.h), 'w', ARGV[3], 0, r.e, 'IDLE', num(EXPIRED - ttl), 'JUSTID')
call('HSET', B .. 'j' .. r.key, 'u', num(now + ttl * 1000))
return 1
