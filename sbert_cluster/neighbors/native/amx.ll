; The products of 32 × 32 rows of int8 codes with the matrix unit of Intel processors (AMX).
;
; Tiles 0-3 hold the four quarters of the block, 4 and 5 the left rows, 6 and 7 the right ones.

@config = private constant [64 x i8] c"\01\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\40\00\40\00\40\00\40\00\40\00\40\00\40\00\40\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\10\10\10\10\10\10\10\10\00\00\00\00\00\00\00\00", align 64

declare void @llvm.x86.ldtilecfg(ptr)
declare void @llvm.x86.tilerelease()
declare void @llvm.x86.tilezero(i8 immarg)
declare void @llvm.x86.tileloadd64(i8 immarg, ptr, i64)
declare void @llvm.x86.tilestored64(i8 immarg, ptr, i64)
declare void @llvm.x86.tdpbssd(i8 immarg, i8 immarg, i8 immarg)
declare <16 x i32> @llvm.smax.v16i32(<16 x i32>, <16 x i32>)

; Eight tiles of 16 rows of 64 bytes.
define void @begin() #0 {
  call void @llvm.x86.ldtilecfg(ptr @config)
  ret void
}

define void @end() #0 {
  call void @llvm.x86.tilerelease()
  ret void
}

define <16 x i32> @products(ptr %left, i64 %row_bytes, ptr %right, i64 %chunks, ptr %scratch) #0 {
entry:
  %left_bytes = shl i64 %row_bytes, 4
  %right_bytes = shl i64 %chunks, 10
  call void @llvm.x86.tilezero(i8 0)
  call void @llvm.x86.tilezero(i8 1)
  call void @llvm.x86.tilezero(i8 2)
  call void @llvm.x86.tilezero(i8 3)
  br label %chunk

chunk:
  %c = phi i64 [ 0, %entry ], [ %c.next, %chunk ]
  %left.offset = shl i64 %c, 6
  %right.offset = shl i64 %c, 10
  %left.0 = getelementptr i8, ptr %left, i64 %left.offset
  %left.1 = getelementptr i8, ptr %left.0, i64 %left_bytes
  %right.0 = getelementptr i8, ptr %right, i64 %right.offset
  %right.1 = getelementptr i8, ptr %right.0, i64 %right_bytes
  call void @llvm.x86.tileloadd64(i8 4, ptr %left.0, i64 %row_bytes)
  call void @llvm.x86.tileloadd64(i8 6, ptr %right.0, i64 64)
  call void @llvm.x86.tdpbssd(i8 0, i8 4, i8 6)
  call void @llvm.x86.tileloadd64(i8 7, ptr %right.1, i64 64)
  call void @llvm.x86.tdpbssd(i8 1, i8 4, i8 7)
  call void @llvm.x86.tileloadd64(i8 5, ptr %left.1, i64 %row_bytes)
  call void @llvm.x86.tdpbssd(i8 2, i8 5, i8 6)
  call void @llvm.x86.tdpbssd(i8 3, i8 5, i8 7)
  %c.next = add i64 %c, 1
  %c.more = icmp ult i64 %c.next, %chunks
  br i1 %c.more, label %chunk, label %store

store:
  %low.one = insertelement <16 x i32> poison, i32 -2147483648, i64 0
  %low = shufflevector <16 x i32> %low.one, <16 x i32> poison, <16 x i32> zeroinitializer
  %quarter.1 = getelementptr i8, ptr %scratch, i64 1024
  %quarter.2 = getelementptr i8, ptr %scratch, i64 2048
  %quarter.3 = getelementptr i8, ptr %scratch, i64 3072
  call void @llvm.x86.tilestored64(i8 0, ptr %scratch, i64 64)
  call void @llvm.x86.tilestored64(i8 1, ptr %quarter.1, i64 64)
  call void @llvm.x86.tilestored64(i8 2, ptr %quarter.2, i64 64)
  call void @llvm.x86.tilestored64(i8 3, ptr %quarter.3, i64 64)
  br label %line

line:
  %offset = phi i64 [ 0, %store ], [ %offset.next, %line ]
  %m.0 = phi <16 x i32> [ %low, %store ], [ %n.0, %line ]
  %m.1 = phi <16 x i32> [ %low, %store ], [ %n.1, %line ]
  %m.2 = phi <16 x i32> [ %low, %store ], [ %n.2, %line ]
  %m.3 = phi <16 x i32> [ %low, %store ], [ %n.3, %line ]
  %p.0 = getelementptr i8, ptr %scratch, i64 %offset
  %p.1 = getelementptr i8, ptr %p.0, i64 64
  %p.2 = getelementptr i8, ptr %p.0, i64 128
  %p.3 = getelementptr i8, ptr %p.0, i64 192
  %v.0 = load <16 x i32>, ptr %p.0, align 64
  %v.1 = load <16 x i32>, ptr %p.1, align 64
  %v.2 = load <16 x i32>, ptr %p.2, align 64
  %v.3 = load <16 x i32>, ptr %p.3, align 64
  %n.0 = call <16 x i32> @llvm.smax.v16i32(<16 x i32> %m.0, <16 x i32> %v.0)
  %n.1 = call <16 x i32> @llvm.smax.v16i32(<16 x i32> %m.1, <16 x i32> %v.1)
  %n.2 = call <16 x i32> @llvm.smax.v16i32(<16 x i32> %m.2, <16 x i32> %v.2)
  %n.3 = call <16 x i32> @llvm.smax.v16i32(<16 x i32> %m.3, <16 x i32> %v.3)
  %offset.next = add i64 %offset, 256
  %more = icmp ult i64 %offset.next, 4096
  br i1 %more, label %line, label %exit

exit:
  %o.0 = call <16 x i32> @llvm.smax.v16i32(<16 x i32> %n.0, <16 x i32> %n.1)
  %o.1 = call <16 x i32> @llvm.smax.v16i32(<16 x i32> %n.2, <16 x i32> %n.3)
  %highest = call <16 x i32> @llvm.smax.v16i32(<16 x i32> %o.0, <16 x i32> %o.1)
  ret <16 x i32> %highest
}

attributes #0 = { "target-features"="+amx-int8,+amx-tile,+avx512f" "min-legal-vector-width"="512" "prefer-vector-width"="512" }
