-- What all scripts of the queue have in common. Every name is made from KEYS[1], whose hash tag they all carry, so in a
-- cluster all are in one place. Times are the server's, in microseconds: no other clock counts.
local B, call = KEYS[1], redis.call
local clock = call('TIME')
local now = clock[1] * 1000000 + clock[2]
local SHARDS = 8
-- A lease is claimed with an idle time that makes it idle for this long, in milliseconds, when it expires.
local EXPIRED = 86400000

local function num(x) return string.format('%.0f', x) end

local function line(p, h) return B .. 's' .. p .. h end

-- group returns how many entries of a stream that exists are pending, and the id of the last that was delivered.
local function group(stream)
  local groups = call('XINFO', 'GROUPS', stream)
  if #groups == 0 then
    call('XGROUP', 'CREATE', stream, 'w', '0')
    return 0, '0-0'
  end
  local pending, last
  for i = 1, #groups[1], 2 do
    local name = groups[1][i]
    if name == 'pending' then
      pending = groups[1][i + 1]
    elseif name == 'last-delivered-id' then
      last = groups[1][i + 1]
    end
  end
  return pending, last
end

-- ready returns how many jobs of a stream can be leased, how many are, and what group says last.
local function ready(p, h)
  local stream = line(p, h)
  local length = call('XLEN', stream)
  if length == 0 then return 0, 0 end
  local pending, last = group(stream)
  return length - pending, pending, last
end

-- first returns the entry of a stream that is to be delivered next.
local function first(p, h, last)
  local entry = call('XRANGE', line(p, h), '(' .. last, '+', 'COUNT', 1)
  return entry[1] and entry[1][1]
end

-- parse makes numbers of an entry's id.
local function parse(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end

-- The fields of a record: s state (q ready, l leased, d delayed), p priority, h shard, e entry in the stream, i item,
-- k kind, c trace (older versions have none), a attempts, n when it was enqueued, x deadline or 0, t token and u end of the lease, z the token that
-- handed it back last, b submitted, w the replicas that wait, with a space before and after each.
local function record(key)
  local v = call('HMGET', B .. 'j' .. key, 's', 'p', 'h', 'e', 'a', 'n', 'x', 't', 'u', 'b', 'w', 'z')
  -- what is damaged counts as not there, and is overwritten
  if not (v[1] and v[2] and v[3] and v[4] and string.find(v[1], '^[qld]$') and string.find(v[2], '^[01]$') and
      string.find(v[3], '^[0-7]$') and (v[1] == 'd' or string.find(v[4], '^%d+%-%d+$'))) then
    return nil
  end
  return {
    key = key, s = v[1], p = v[2], h = v[3], e = v[4], a = tonumber(v[5] or 0) or 0, n = tonumber(v[6] or now) or now,
    x = tonumber(v[7] or 0) or 0, t = v[8], u = tonumber(v[9] or 0) or 0, b = v[10] == '1', w = v[11] or '', z = v[12]
  }
end

-- store writes a record, and further fields if there are some.
local function store(r, ...)
  call('HSET', B .. 'j' .. r.key, 's', r.s, 'p', r.p, 'h', r.h, 'e', r.e, 'a', num(r.a), 'n', num(r.n), 'x', num(r.x),
    't', r.t or '', 'u', num(r.u), 'b', r.b and '1' or '0', 'w', r.w, 'z', r.z or '', ...)
end

-- place puts a job at the end of its line, or lets it wait until a time.
local function place(r, at)
  r.t, r.u = '', 0
  if at > now then
    r.s, r.e = 'd', ''
    call('ZADD', B .. 'd' .. r.p, num(at), r.key)
    return
  end
  local stream = line(r.p, r.h)
  if call('EXISTS', stream) == 0 then call('XGROUP', 'CREATE', stream, 'w', '0', 'MKSTREAM') end
  r.s, r.e = 'q', call('XADD', stream, '*', 'k', r.key)
  call('SPUBLISH', B .. 'w', r.p)
end

local function discard(stream, id)
  call('XACK', stream, 'w', id)
  call('XDEL', stream, id)
end

-- displace takes a job out of wherever it is, and returns until when it was to wait.
local function displace(r)
  if r.s == 'd' then
    local at = call('ZSCORE', B .. 'd' .. r.p, r.key)
    call('ZREM', B .. 'd' .. r.p, r.key)
    return tonumber(at or 0)
  end
  discard(line(r.p, r.h), r.e)
  return 0
end

local function holds(r, token) return r and r.s == 'l' and r.t == token and r.u > now end

local function waits(r, replica) return string.find(r.w, ' ' .. replica .. ' ', 1, true) end

local function await(r, replica)
  if r.w == '' then r.w = ' ' end
  if not waits(r, replica) then r.w = r.w .. replica .. ' ' end
end

local function leave(r, replica)
  local i, j = waits(r, replica)
  if i then r.w = string.sub(r.w, 1, i) .. string.sub(r.w, j + 1) end
  if r.w == ' ' then r.w = '' end
end

-- tell publishes how a job ended to all that wait but one, which knows.
local function tell(r, outcome, except)
  for replica in string.gmatch(r.w, '%S+') do
    if replica ~= except then call('SPUBLISH', B .. 'c' .. replica, r.key .. outcome) end
  end
end

-- hurry tells the worker of a leased background job, if it is another process, that somebody waits for it now.
local function hurry(r, replica)
  local pending = call('XPENDING', line(r.p, r.h), 'w', r.e, r.e, 1)[1]
  if pending and pending[2] ~= replica then call('SPUBLISH', B .. 'c' .. pending[2], r.key .. 'p') end
end

-- due makes ready what was to wait until now.
local function due(most)
  for p = 0, 1 do
    for _, key in ipairs(call('ZRANGE', B .. 'd' .. p, '-inf', num(now), 'BYSCORE', 'LIMIT', 0, most)) do
      call('ZREM', B .. 'd' .. p, key)
      local r = record(key)
      if r and r.s == 'd' then
        place(r, 0)
        store(r)
      end
    end
  end
end

-- pended calls f with every entry of a stream that is pending for a consumer, and its job's key if that is known, and
-- returns whether there are more.
local function pended(stream, consumer, most, f)
  local list = call('XPENDING', stream, 'w', '-', '+', most, consumer)
  for _, p in ipairs(list) do
    local entry = call('XRANGE', stream, p[1], p[1])
    f(p[1], entry[1] and entry[1][2][2])
  end
  return #list == most
end

-- back puts a job that nobody works on any more at the end of its line. Where nobody waits for it any more either, it is
-- a background job if it was submitted, and dropped if not.
local function back(r)
  if r.w ~= '' then
    r.p = '0'
  elseif r.p == '0' then
    if not r.b then
      call('UNLINK', B .. 'j' .. r.key)
      return
    end
    r.p, r.x = '1', 0
  end
  place(r, 0)
  store(r)
end

-- reclaim takes the entry of a lease that has ended without its worker, and gives back its job. An entry without a job is
-- dropped. It returns whether there was a job.
local function reclaim(stream, id, key, uncounted)
  local r = key and record(key)
  discard(stream, id)
  if not (r and r.s == 'l' and r.e == id) then return false end
  if uncounted then r.a = math.max(0, r.a - 1) end
  back(r)
  return true
end
